"""NVMe: IOPS on the model, and what the queue engine costs for a command.

The peer is a client in plain Python (benchmarks/plain_nvme.py), in the same run.  On the
model most of the time is the model's; the engine is measured alone, against a controller
that has always just finished.
"""

from __future__ import annotations

import statistics
import struct
import time
from collections.abc import Callable, Mapping

from benchmarks.plain_nvme import DEPTH, READ, SQE, PlainNvme
from pymmio.testing import mapped_region
from pymmio_drivers.nvme import Controller
from pymmio_drivers.nvme.engine import Engine, ffi, lib

ROUNDS = 9
COMMANDS = 2000
POSITIONS = 1000
URI = "sim:nvme?size=64M"
BATCH = 32


def main() -> None:
    """Print the ratios."""
    _iops()
    _engine()


def _iops() -> None:
    with (
        Controller.open(URI) as ctrl,
        Controller.open(URI, interrupts=None) as polling,
        PlainNvme(URI) as plain,
    ):
        ns = ctrl.namespaces[1]
        blocks = 4096 // ns.block_size

        def one_by_one(ctrl: Controller) -> Callable[[], None]:
            ns, buf = ctrl.namespaces[1], ctrl.alloc(4096)

            def run() -> None:
                for i in range(COMMANDS):
                    ns.read(buf, lba=i % POSITIONS * blocks)

            return run

        def copied() -> None:
            for i in range(COMMANDS):
                ns.read_bytes(lba=i % POSITIONS * blocks, blocks=blocks)

        def measured(depth: int) -> Callable[[], object]:
            return lambda: ns.measure(rw="read", queue_depth=depth, count=COMMANDS)

        subjects = {
            "plain Python QD1": lambda: plain.read(COMMANDS, 1, blocks, POSITIONS),
            "Namespace.read QD1": one_by_one(ctrl),
            "... polling, QD1": one_by_one(polling),
            "read_bytes QD1": copied,
            "measure QD1": measured(1),
            "plain Python QD32": lambda: plain.read(COMMANDS, 32, blocks, POSITIONS),
            "measure QD32": measured(32),
        }
        times = _interleaved(subjects)
    print(f"\n4 KiB reads on {URI}  (median of {ROUNDS} interleaved rounds)")
    for name, seconds in times.items():
        peer = times["plain Python QD32" if name.endswith("32") else "plain Python QD1"]
        print(f"  {name:<20} {COMMANDS / seconds:10.0f} IOPS  {peer / seconds:6.2f} x plain")


def _interleaved(subjects: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    seen: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, run in subjects.items():
            start = time.perf_counter()
            run()
            seen[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seen.items()}


class _Finished:
    """A controller that completes everything at once: writes completions, untimed."""

    def __init__(self, cq: memoryview) -> None:
        self._cq = cq
        self._head = 0
        self._sq_head = 0
        self._phase = 1

    def complete(self, cids: list[int]) -> None:
        for cid in cids:
            self._sq_head = (self._sq_head + 1) % DEPTH
            struct.pack_into(
                "<IIHHHH", self._cq, 16 * self._head, 0, 0, self._sq_head, 1, cid, self._phase
            )
            self._head += 1
            if self._head == DEPTH:
                self._head, self._phase = 0, self._phase ^ 1


def _engine() -> None:
    """Time submit and reap; what the controller does between is not counted."""
    bar = mapped_region(8192)
    doorbells = (bar.doorbell(0x1008), bar.doorbell(0x100C))
    memory = {name: bytearray(64 * DEPTH) for name in ("sq", "cq", "plain sq", "plain cq")}
    views = {name: memoryview(array) for name, array in memory.items()}
    address = {n: int(ffi.cast("uintptr_t", ffi.from_buffer(m))) for n, m in memory.items()}
    engine = Engine(1, DEPTH, sq=address["sq"], cq=address["cq"], doorbells=doorbells)
    controller, plain_controller = _Finished(views["cq"]), _Finished(views["plain cq"])
    commands = ffi.new("nvme_io[]", BATCH)
    for i in range(BATCH):
        commands[i].opcode, commands[i].nsid, commands[i].prp1 = READ, 1, 0x10000 + 4096 * i
    cids, done = ffi.new("uint16_t[]", BATCH), ffi.new("nvme_done[]", BATCH)
    plain = _PlainEngine(bar, views["plain sq"], views["plain cq"])

    def in_c() -> float:
        start = time.perf_counter()
        sent = lib.nvme_qp_submit_io(engine.qp, commands, BATCH, cids)
        spent = time.perf_counter() - start
        controller.complete(list(cids[0:sent]))
        start = time.perf_counter()
        taken = lib.nvme_qp_reap(engine.qp, done, BATCH)
        assert sent == taken == BATCH
        return spent + time.perf_counter() - start

    def in_python() -> float:
        start = time.perf_counter()
        plain.submit(BATCH)
        spent = time.perf_counter() - start
        plain_controller.complete(list(range(BATCH)))
        start = time.perf_counter()
        assert plain.reap(BATCH) == BATCH
        return spent + time.perf_counter() - start

    in_python(), in_c()
    rounds = [(in_python(), in_c()) for _ in range(2000)]
    python, c = (statistics.median(r[i] for r in rounds) / BATCH for i in (0, 1))
    print(
        f"\nsubmit and complete, batches of {BATCH}  (median of {len(rounds)} interleaved rounds)"
    )
    print(f"  plain Python  {python * 1e9:8.0f} ns a command")
    print(f"  queue engine  {c * 1e9:8.0f} ns a command  {python / c:6.1f} x plain")


class _PlainEngine:
    """The same work in plain Python: entries by struct, phase bits, two doorbells."""

    def __init__(self, bar: object, sq: memoryview, cq: memoryview) -> None:
        self._bar, self._sq, self._cq = bar, sq, cq
        self._tail = self._head = 0
        self._phase = 1

    def submit(self, count: int) -> None:
        for i in range(count):
            SQE.pack_into(self._sq, 64 * self._tail, READ, 0, i, 1, 0x10000 + 4096 * i, 0, 0, 7)
            self._tail = (self._tail + 1) % DEPTH
        self._bar.write32(0x1000, self._tail)  # type: ignore[attr-defined]

    def reap(self, most: int) -> int:
        taken = 0
        while taken < most:
            _, status = struct.unpack_from("<HH", self._cq, 16 * self._head + 12)
            if status & 1 != self._phase:
                break
            taken += 1
            self._head += 1
            if self._head == DEPTH:
                self._head, self._phase = 0, self._phase ^ 1
        self._bar.write32(0x1004, self._head)  # type: ignore[attr-defined]
        return taken


if __name__ == "__main__":
    main()
