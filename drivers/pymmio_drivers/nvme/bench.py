"""Measure reads and writes: a loop in C keeps commands in flight and records latencies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pymmio.dma import DmaBuffer
from pymmio.errors import BadArgument, DeviceBusy, PymmioError
from pymmio_drivers.nvme.buffers import look_at
from pymmio_drivers.nvme.engine import ffi, lib
from pymmio_drivers.nvme.errors import CommandTimeout, LbaOutOfRange
from pymmio_drivers.nvme.prp import build_prps, list_pages_needed
from pymmio_drivers.nvme.status import describe

if TYPE_CHECKING:
    from pymmio_drivers.nvme.controller import Controller
    from pymmio_drivers.nvme.namespace import Namespace

__all__ = ["Latency", "Measurement", "Mode", "measure"]

Mode = Literal["read", "write", "randread", "randwrite", "randrw"]

_READ_PERCENT = {"read": 100, "write": 0, "randread": 100, "randwrite": 0, "randrw": 70}
_SLICE_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies in microseconds, from before the doorbell to when the completion is taken.

    Percentiles come from a histogram whose buckets are 1.6 percent wide.
    """

    mean: float
    p50: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a run did; ``histogram`` has (lower bound in ns, count) of each bucket in use."""

    iops: float
    bandwidth_bytes_s: float
    lat_us: Latency
    errors: int
    commands: int
    seconds: float
    first_error: str
    histogram: tuple[tuple[int, int], ...]

    def as_dict(self) -> dict[str, object]:
        """Return the figures by name, ready for JSON; without the histogram."""
        figures = asdict(self)
        del figures["histogram"]
        return figures


def measure(
    namespace: Namespace,
    *,
    rw: Mode = "randread",
    block_size: int = 4096,
    queue_depth: int = 32,
    seconds: float = 3.0,
    count: int = 0,
    first_lba: int = 0,
    blocks: int | None = None,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Measurement:
    """Read or write ``block_size`` bytes at a time, ``queue_depth`` commands at once.

    Runs for ``seconds``, or until ``count`` commands if that is not 0, on ``blocks`` blocks
    from ``first_lba`` (all of them).  Writes destroy what is there: they write zeroes.  Has
    the calling thread's I/O queue for itself; raises DeviceBusy if commands are outstanding
    there.  ``progress`` is called every 20 ms with the share that is done.

    Raises BadArgument, LbaOutOfRange, and what breaks the queue (CommandAborted with its
    cause); commands that the device fails are counted in ``errors``.
    """
    size, controller = namespace.block_size, namespace.controller
    if rw not in _READ_PERCENT:
        raise BadArgument(
            f"measure: rw={rw!r} is unknown", hint=f"It is one of {', '.join(_READ_PERCENT)}"
        )
    if block_size < size or block_size % size:
        raise BadArgument(
            f"measure: {block_size} bytes a command are no whole blocks",
            hint=f"nsid {namespace.nsid} has blocks of {size} bytes",
        )
    queue = controller.thread_queue()
    if block_size > controller.max_transfer or not 1 <= queue_depth < queue.depth:
        raise BadArgument(
            f"measure: {block_size} bytes, {queue_depth} at once",
            hint=f"Up to {controller.max_transfer} bytes, and 1 to {queue.depth - 1} at once",
        )
    total = max(0, namespace.block_count - first_lba) if blocks is None else blocks
    if first_lba < 0 or total < 1 or first_lba + total > namespace.block_count:
        raise LbaOutOfRange(
            f"measure: {total} blocks from lba {first_lba} do not lie inside nsid {namespace.nsid}",
            hint=f"It has {namespace.block_count} blocks",
        )
    if total * size < block_size:
        raise LbaOutOfRange(
            f"measure: commands of {block_size} bytes do not fit {total} blocks of {size} bytes",
            hint="Give more blocks, or a smaller block_size",
        )
    run: Any = ffi.new("nvme_run *")
    run.first_lba, run.blocks, run.positions = (
        first_lba,
        block_size // size,
        total // (block_size // size),
    )
    run.nsid, run.qd, run.count, run.seed = namespace.nsid, queue_depth, count, seed
    run.random, run.read_percent = rw.startswith("rand"), _READ_PERCENT[rw]
    run.stall_ns = int(controller.settings.timeout_s * 1e9)
    pages = -(-block_size // controller.page_size)
    stride = (pages + list_pages_needed(block_size, controller.page_size)) * controller.page_size
    with controller.scratch.take(stride * queue_depth, fresh=True) as memory:
        start = time.monotonic()
        run.deadline_ns = 0 if count else int((start + seconds) * 1e9)
        _Run(controller, run, memory, stride, block_size).go(seconds, progress)
        return _result(run, time.monotonic() - start, block_size)


class _Run:
    """One run on a queue that nobody else uses meanwhile."""

    def __init__(
        self, controller: Controller, run: Any, memory: DmaBuffer, stride: int, block_size: int
    ) -> None:
        self._controller = controller
        self._queue = controller.thread_queue()
        self._run = run
        self._free = ffi.new("uint32_t[]", run.qd)
        self._prps = ffi.new("uint64_t[]", 2 * run.qd)
        run.prps = self._prps
        page = controller.page_size
        list_offset = -(-block_size // page) * page
        for index in range(run.qd):
            at = index * stride
            lists = memory.iova + at + list_offset
            prps = build_prps(memory.iova + at, block_size, page, lists)
            self._prps[2 * index], self._prps[2 * index + 1] = prps.prp1, prps.prp2
            if prps.entries:
                with look_at(memory) as view:
                    where = at + list_offset
                    view[where : where + len(prps.entries)] = prps.entries
        self._request = controller.io_request("measure", (memory,))
        self._request.timeout_s = math.inf  # the run sees to its own

    def go(self, seconds: float, progress: Callable[[float], None] | None) -> None:
        """Run to the end; on an exception nothing is in flight any more."""
        run, start = self._run, time.monotonic()
        if not self._queue.begin_exclusive(self._request):
            error = DeviceBusy(
                "measure: commands are outstanding on the queue", hint="Wait for their requests"
            )
            self._request.withdraw(error)
            raise error
        try:
            while self._step():
                if progress is not None:
                    done = run.completed / run.count if run.count else 0.0
                    progress(done or min(1.0, (time.monotonic() - start) / seconds))
        finally:
            self._send_no_more()
            while not self._request.done() and run.started and self._step():
                pass
            self._queue.end_exclusive(self._request)

    def _send_no_more(self) -> None:
        self._run.count = max(self._run.submitted, 1)
        self._run.deadline_ns = 1

    def _step(self) -> bool:
        """Run for 20 ms; return whether there is more to do.  Raises what broke the queue."""
        queue, run, error = self._queue, self._run, None
        with queue.lock:
            if not queue.is_accepting:
                self._send_no_more()
            if self._request.done():  # failed by a reset
                code = lib.NVME_RUN_DONE
            else:
                code = lib.nvme_qp_run(queue.engine.qp, run, self._free, _SLICE_NS)
            try:
                if code == lib.NVME_RUN_DELIVER:
                    queue.engine.deliver()
                elif code < 0:
                    error = queue.engine.error(code)
                elif run.stalled:
                    error = CommandTimeout(f"measure: no completion within {run.stall_ns / 1e9} s")
            except PymmioError as caught:
                error = caught
            queue.broken = queue.broken or error
        if error is not None:
            self._controller.queue_failed(queue, error)
        elif code == lib.NVME_RUN_AGAIN:
            queue.check_device(time.monotonic())
        if self._request.done():
            self._request.result()
        return bool(code != lib.NVME_RUN_DONE)


def _result(run: Any, seconds: float, block_size: int) -> Measurement:
    counts = ffi.unpack(run.histogram, lib.NVME_HISTOGRAM_SIZE)
    histogram = tuple(
        (int(lib.nvme_histogram_value(index)), count) for index, count in enumerate(counts) if count
    )
    completed = max(1, run.completed)

    def percentile(share: float) -> float:
        wanted, seen = share * run.completed, 0
        for lower, count in histogram:
            seen += count
            if seen >= wanted:
                return lower / 1000
        return 0.0

    return Measurement(
        iops=run.completed / seconds,
        bandwidth_bytes_s=run.completed * block_size / seconds,
        lat_us=Latency(
            mean=run.latency_sum_ns / completed / 1000,
            p50=percentile(0.5),
            p99=percentile(0.99),
            p999=percentile(0.999),
            max=run.latency_max_ns / 1000,
        ),
        errors=run.errors,
        commands=run.completed,
        seconds=seconds,
        first_error=describe(run.first_error)[0] if run.errors else "",
        histogram=histogram,
    )
