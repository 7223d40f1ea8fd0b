"""Virtqueues: what the engine costs for a buffer, split and packed.

The engine in C is measured alone: the device's side (pymmio.models.virtio.ring, in Python)
serves between the timed parts.  "through a device" is all of it: submit, the model's thread-less
device, taking the buffer back and its future.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from benchmarks.timing import turns
from pymmio.arch import ffi as core_ffi
from pymmio.models.virtio.ring import PackedRing, SplitRing
from pymmio.testing import mapped_region
from pymmio.virtio import EVENT_IDX, INDIRECT_DESC, RING_PACKED, VirtioDevice
from pymmio.virtio.queue.engine import Engine, ffi, lib
from pymmio.virtio.queue.layout import QueueLayout

SIZE, BATCH, ROUNDS = 256, 32, 400
IOVA = 0x10_0000
FORMATS = {
    "split": (False, False),
    "split, event index, indirect": (False, True),
    "packed": (True, False),
    "packed, event index, indirect": (True, True),
}
BUFFERS, DEVICE_ROUNDS = 200, 9


def main() -> None:
    """Print operations a second."""
    _engines()
    _devices()


class _Memory:
    """DMA memory of the device's side: the ring and nothing else."""

    def __init__(self, size: int) -> None:
        self.bytes = bytearray(size)
        self.address = int(core_ffi.cast("uintptr_t", core_ffi.from_buffer(self.bytes)))

    def dma_read(self, iova: int, size: int) -> bytes:
        return bytes(self.bytes[iova - IOVA : iova - IOVA + size])

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        self.bytes[iova - IOVA : iova - IOVA + len(data)] = data


def _engine(*, is_packed: bool, is_full: bool) -> Callable[[], float]:
    """Return a function that sends a batch and returns the seconds that the engine took."""
    layout = QueueLayout.of(SIZE, is_packed=is_packed, indirect_max=4 if is_full else 0)
    memory, bell = _Memory(layout.total), mapped_region(4096)
    engine = Engine(
        0,
        layout,
        address=memory.address,
        iova=IOVA,
        doorbell=bell.doorbell(0, 2),
        has_event_idx=is_full,
    )
    device = (PackedRing if is_packed else SplitRing)(
        memory,
        SIZE,
        *(IOVA, IOVA + layout.driver, IOVA + layout.device),
        has_event_idx=is_full,
        has_indirect=is_full,
    )
    pieces, used = ffi.new("vq_piece[]", 2), ffi.new("vq_used[]", BATCH)
    for at in (0, 1):
        pieces[at].iova, pieces[at].size = IOVA, 64
    queue = engine.vq

    def run() -> float:
        start = time.perf_counter()
        for _ in range(BATCH):
            lib.vq_add(queue, pieces, 1, 1)
        lib.vq_kick(queue, 0)
        spent = time.perf_counter() - start
        while (chain := device.pop()) is not None:
            device.push(chain, 64)
        device.should_interrupt()
        start = time.perf_counter()
        taken = lib.vq_reap(queue, used, BATCH)
        assert taken == BATCH, taken
        return spent + time.perf_counter() - start

    run.keeps = (memory, bell, engine)  # type: ignore[attr-defined]  # alive as long as it
    return run


def _engines() -> None:
    runs = {
        name: _engine(is_packed=is_packed, is_full=is_full)
        for name, (is_packed, is_full) in FORMATS.items()
    }
    seen: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            seen[name].append(run() / BATCH)
    print(f"\nengine alone: a call to add each buffer, a kick and a reap for {BATCH} of them")
    print(f"  (median of {ROUNDS} interleaved rounds, ring of {SIZE}, two pieces a buffer)")
    _print({name: statistics.median(times) for name, times in seen.items()})


def _devices() -> None:
    devices: list[VirtioDevice] = []
    subjects: dict[str, Callable[[], object]] = {}
    try:
        for name, (is_packed, is_full) in FORMATS.items():
            device = VirtioDevice.open("sim:virtio-rng")
            devices.append(device)
            wanted = [RING_PACKED] * is_packed + [EVENT_IDX, INDIRECT_DESC] * is_full
            device.start({0: None}, wanted=wanted, interrupts=False)
            subjects[name] = _one_by_one(device)
        seen = turns(subjects, rounds=DEVICE_ROUNDS)
    finally:
        for device in devices:
            device.close()
    print("\nthrough a device of the model, one after the other, polled")
    _print({name: statistics.median(times) / BUFFERS for name, times in seen.items()})


def _one_by_one(device: VirtioDevice) -> Callable[[], None]:
    queue, buffer = device.queues[0], device.dma.alloc(4096)

    def run() -> None:
        for _ in range(BUFFERS):
            queue.wait(queue.submit((), [buffer[:64]]), 10.0)

    return run


def _print(times: dict[str, float]) -> None:
    for name, seconds in times.items():
        ratio = seconds / times["split"]
        print(f"  {name:<30} {1 / seconds:10.0f} a second  {seconds * 1e9:8.0f} ns  {ratio:5.2f} x")


if __name__ == "__main__":
    main()
