"""The queue engine in C, with its results as Python values and exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pymmio.errors import Closed, ProtocolError, PymmioError
from pymmio_drivers.nvme.command import SQE_SIZE

if TYPE_CHECKING:
    from pymmio.mmio.doorbell import Doorbell

try:
    from pymmio_drivers.nvme._engine import ffi as _ffi
    from pymmio_drivers.nvme._engine import lib as _lib
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "pymmio_drivers.nvme._engine is not built; run: pip install -e . in the source tree"
    ) from error

__all__ = ["BATCH", "CQE_SIZE", "Done", "Engine", "ffi", "lib"]

ffi: Any = _ffi
lib: Any = _lib

CQE_SIZE = 16
BATCH = 64

_BAD = {
    lib.NVME_QP_BAD_CID: "a command identifier that is never used",
    lib.NVME_QP_NOT_OUTSTANDING: "a command that is not outstanding",
    lib.NVME_QP_BAD_SQHD: "with an SQ head that is not between head and tail",
    lib.NVME_QP_BAD_SQID: "a command of another submission queue",
}


class Done(NamedTuple):
    """A completion; ``status`` has no phase bit, ``result`` is DW0."""

    cid: int
    status: int
    result: int
    latency_ns: int


class Engine:
    """One queue pair in C (engine.cdef.h); ``sq`` and ``cq`` are addresses of its memory.

    Not safe for threads, except ``events``, ``wait``, ``close`` and ``users``.  Doorbells that
    Python must write are delivered before a method returns.
    """

    def __init__(
        self, qid: int, depth: int, *, sq: int, cq: int, doorbells: tuple[Doorbell, Doorbell]
    ) -> None:
        self.qid = qid
        self.depth = depth
        self._sizes = ((sq, depth * SQE_SIZE), (cq, depth * CQE_SIZE))
        self.doorbells = doorbells
        self._python_way = any(doorbell.needs_delivery for doorbell in doorbells)
        self._memory = ffi.new("uint64_t[]", (lib.nvme_qp_size(depth - 1) + 7) // 8)
        self.qp = ffi.cast("nvme_qp *", self._memory)
        self._sqes = ffi.new("uint8_t[]", BATCH * SQE_SIZE)
        self._cids = ffi.new("uint16_t[]", BATCH)
        self._done = ffi.new("nvme_done[]", BATCH)
        lib.nvme_qp_init(self.qp, qid, depth, sq, cq, *(d.address for d in doorbells))
        self.clear()

    def clear(self) -> None:
        """Start anew with empty queues.  Only while the controller cannot reach them."""
        for address, size in self._sizes:
            ffi.memmove(ffi.cast("char *", address), bytes(size), size)
        lib.nvme_qp_reset(self.qp)

    def space(self) -> int:
        """Return how many commands can be sent now."""
        return int(lib.nvme_qp_space(self.qp))

    def outstanding(self) -> int:
        """Return how many commands the controller has not completed."""
        return int(lib.nvme_qp_outstanding(self.qp))

    def submit(self, entries: Sequence[bytes]) -> tuple[list[int | None], PymmioError | None]:
        """Send up to BATCH entries with one doorbell.

        Returns the identifiers, None for what there was no room for, and the error if the
        doorbell failed: then the controller may or may not know of what has an identifier.
        """
        count = len(entries)
        ffi.memmove(self._sqes, b"".join(entries), count * SQE_SIZE)
        code = lib.nvme_qp_submit_raw(self.qp, self._sqes, count, self._cids)
        cids = [None if cid == 0xFFFF else int(cid) for cid in self._cids[0:count]]
        return cids, self.error(code) if code < 0 else self._deliver(0)

    def submit_one(self, entry: bytes) -> tuple[int | None, PymmioError | None]:
        """Send one entry; the same results as those of :meth:`submit`."""
        code = lib.nvme_qp_submit_raw(self.qp, entry, 1, self._cids)
        cid = self._cids[0]
        return None if cid == 0xFFFF else cid, self.error(code) if code < 0 else self._deliver(0)

    def reap(self) -> tuple[list[Done], PymmioError | None]:
        """Take up to BATCH completions; with them or instead of them what went wrong."""
        count = lib.nvme_qp_reap(self.qp, self._done, BATCH)
        if count < 0:
            return [], self.error(count)
        done = [
            Done(one.cid, one.status, one.result, one.latency_ns) for one in self._done[0:count]
        ]
        return done, self._deliver(1) if count else None

    def events(self) -> int:
        """Return a number that changes with each completion taken."""
        return int(lib.nvme_qp_events(self.qp))

    def wait(self, events: int, timeout_s: float) -> bool | None:
        """Wait, 20 ms at most, until there is a completion or ``events`` is outdated.

        Returns whether that came; None once the engine is closed.
        """
        code = lib.nvme_qp_wait(self.qp, events, int(timeout_s * 1e9))
        return None if code < 0 else code == 1

    def cq_head(self) -> int:
        """Return the entry of the completion queue that is looked at next."""
        return int(lib.nvme_qp_cq_state(self.qp)) & 0x7FFF_FFFF

    def expected_phase(self) -> int:
        """Return the phase bit of the next completion."""
        return int(lib.nvme_qp_cq_state(self.qp)) >> 31

    def close(self) -> None:
        """Make all waiting calls return and refuse new commands."""
        lib.nvme_qp_close(self.qp)

    def users(self) -> int:
        """Return how many threads look at the completion queue now."""
        return int(lib.nvme_qp_users(self.qp))

    def deliver(self) -> None:
        """Write doorbell values that were left to Python; raises what that raises."""
        for doorbell in self.doorbells:
            doorbell.deliver()

    def _deliver(self, which: int) -> PymmioError | None:
        if self._python_way:
            try:
                self.doorbells[which].deliver()
            except PymmioError as error:
                return error
        return None

    def error(self, code: int) -> PymmioError:
        """Return what a negative result means."""
        name = f"NVMe queue pair {self.qid}"
        if code == lib.NVME_QP_CLOSED:
            return Closed(f"{name} is closed", hint="Open the controller again")
        if code == lib.NVME_QP_DOORBELL:
            try:
                which = self.doorbells[lib.nvme_qp_failed_doorbell(self.qp)]
                which.check(lib.nvme_qp_doorbell_error(self.qp))
            except PymmioError as error:
                return error
        bad = ffi.new("nvme_bad *")
        lib.nvme_qp_bad(self.qp, bad)
        return ProtocolError(
            f"{name}: the controller completed {_BAD.get(code, f'something (code {code})')}:"
            f" cid {bad.cid:#06x}, sqid {bad.sqid}, sqhd {bad.sqhd}, status {bad.status:#06x} in"
            f" CQ entry {bad.cq_head}; SQ head {bad.sq_head}, tail {bad.sq_tail} of {self.depth}",
            hint="The controller is reset; its firmware, or the path to it, is at fault",
        )
