"""The virtqueue engine in C, with its results as Python values and exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pymmio.errors import BadArgument, Closed, ProtocolError, PymmioError
from pymmio.virtio.queue.layout import QueueLayout

if TYPE_CHECKING:
    from pymmio.mmio.doorbell import Doorbell

try:
    from pymmio.virtio.queue._engine import ffi as _ffi
    from pymmio.virtio.queue._engine import lib as _lib
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "pymmio.virtio.queue._engine is not built; run: pip install -e . in the source tree"
    ) from error

__all__ = ["BATCH", "Engine", "Piece", "UsedBuffer", "ffi", "lib"]

ffi: Any = _ffi
lib: Any = _lib

BATCH = 64

_BAD = {
    lib.VQ_BAD_INDEX: "a used index beyond what was made available",
    lib.VQ_BAD_ID: "a buffer that does not exist",
    lib.VQ_NOT_OUTSTANDING: "a buffer that it does not have",
    lib.VQ_BAD_LENGTH: "more bytes than the buffer has for it",
}


class Piece(NamedTuple):
    """Memory as the device sees it: address and size in bytes."""

    iova: int
    size: int


class UsedBuffer(NamedTuple):
    """A buffer that came back: its id, and how many bytes the device says it wrote."""

    id: int
    written: int


class Engine:
    """One virtqueue in C (engine.cdef.h) in ``memory`` at an address of this process.

    Not safe for threads, except ``events``, ``wait``, ``close`` and ``users``.  A doorbell that
    Python must write is delivered before ``kick`` returns.
    """

    def __init__(
        self,
        index: int,
        layout: QueueLayout,
        *,
        address: int,
        iova: int,
        doorbell: Doorbell,
        has_event_idx: bool,
    ) -> None:
        self.index = index
        self.layout = layout
        self.doorbell = doorbell
        self._address = address
        self._memory = ffi.new("uint64_t[]", (lib.vq_size(layout.size) + 7) // 8)
        self.vq = ffi.cast("vq *", self._memory)
        self._used = ffi.new("vq_used[]", BATCH)
        self._pieces = ffi.new("vq_piece[]", 16)
        where = ffi.new("vq_layout *")
        where.num = layout.size
        where.flags = (
            (lib.VQ_PACKED if layout.is_packed else 0)
            | (lib.VQ_EVENT_IDX if has_event_idx else 0)
            | (lib.VQ_INDIRECT if layout.indirect_max else 0)
        )
        where.index = index
        where.indirect_max = layout.indirect_max
        where.desc = address
        where.driver = address + layout.driver
        where.device = address + layout.device
        where.indirect = address + layout.indirect
        where.indirect_iova = iova + layout.indirect
        where.doorbell = doorbell.address
        self._clear_memory()
        if lib.vq_init(self.vq, where):
            raise BadArgument(f"a virtqueue of {layout.size} descriptors")

    def _clear_memory(self) -> None:
        size = self.layout.indirect
        ffi.memmove(ffi.cast("char *", self._address), bytes(size), size)

    def clear(self) -> None:
        """Start anew with an empty queue.  Only while the device cannot reach it."""
        self._clear_memory()
        lib.vq_reset(self.vq)

    def space(self) -> int:
        """Return how many descriptors of the ring are free."""
        return int(lib.vq_space(self.vq))

    def outstanding(self) -> int:
        """Return how many buffers the device has."""
        return int(lib.vq_outstanding(self.vq))

    def check(self, readable: Sequence[Piece], writable: Sequence[Piece]) -> None:
        """Raise BadArgument for a buffer that can never fit."""
        self._place(readable, writable)
        code = lib.vq_check(self.vq, self._pieces, len(readable), len(writable))
        if code < 0:
            raise self.error(code)

    def add(self, readable: Sequence[Piece], writable: Sequence[Piece]) -> int | None:
        """Make a buffer available and return its id; None if there is no room now.

        Raises BadArgument for a buffer that can never fit, ProtocolError and Closed.
        """
        self._place(readable, writable)
        code = lib.vq_add(self.vq, self._pieces, len(readable), len(writable))
        if code == lib.VQ_FULL:
            return None
        if code < 0:
            raise self.error(code)
        return int(code)

    def _place(self, readable: Sequence[Piece], writable: Sequence[Piece]) -> None:
        count = len(readable) + len(writable)
        if count > len(self._pieces):
            self._pieces = ffi.new("vq_piece[]", count)
        for place, piece in zip(self._pieces, (*readable, *writable)):
            place.iova, place.size = piece

    def kick(self, *, force: bool = False) -> bool:
        """Notify the device of what was added, unless it does not want that; return whether."""
        code = lib.vq_kick(self.vq, force)
        if code < 0:
            raise self.error(code)
        if code and self.doorbell.needs_delivery:
            self.doorbell.deliver()
        return bool(code)

    def reap(self) -> tuple[list[UsedBuffer], PymmioError | None]:
        """Take up to BATCH used buffers; or instead of them what went wrong."""
        count = lib.vq_reap(self.vq, self._used, BATCH)
        if count < 0:
            return [], self.error(count)
        return [UsedBuffer(one.id, one.written) for one in self._used[0:count]], None

    def interrupts(self, wanted: bool) -> bool:
        """Ask for interrupts or none; return whether a used buffer is there already."""
        return bool(lib.vq_interrupts(self.vq, wanted))

    def events(self) -> int:
        """Return a number that changes when buffers are taken."""
        return int(lib.vq_events(self.vq))

    def wait(self, events: int, timeout_s: float) -> bool | None:
        """Wait, 20 ms at most, until a buffer comes back or ``events`` is outdated.

        Returns whether that came; None once the engine is closed.
        """
        code = lib.vq_wait(self.vq, events, max(0, int(timeout_s * 1e9)))
        return None if code < 0 else code == 1

    def wake(self) -> None:
        """Make those who wait look again."""
        lib.vq_wake(self.vq)

    def close(self) -> None:
        """Make all waiting calls return and refuse new buffers."""
        lib.vq_close(self.vq)

    def users(self) -> int:
        """Return how many threads look at the ring now."""
        return int(lib.vq_users(self.vq))

    @property
    def kicks(self) -> tuple[int, int]:
        """How many notifications were sent, and how many the device did not want."""
        return int(lib.vq_kicks(self.vq, 0)), int(lib.vq_kicks(self.vq, 1))

    def position(self) -> tuple[int, int]:
        """Return where the engine is: the next available and the next used place or index."""
        return int(lib.vq_position(self.vq, 0)), int(lib.vq_position(self.vq, 1))

    def error(self, code: int) -> PymmioError:
        """Return what a negative result means."""
        name = f"virtqueue {self.index}"
        if code == lib.VQ_CLOSED:
            return Closed(f"{name} is closed", hint="Open the device again")
        if code == lib.VQ_TOO_LONG:
            return BadArgument(
                f"{name}: a buffer that is empty, larger than 4 GiB, or in more pieces than its"
                f" {self.layout.size} descriptors take",
                hint="Send it in several buffers",
            )
        if code == lib.VQ_DOORBELL:
            try:
                self.doorbell.check(lib.vq_doorbell_error(self.vq))
            except PymmioError as error:
                return error
        bad = ffi.new("vq_bad *")
        lib.vq_what_was_bad(self.vq, bad)
        return ProtocolError(
            f"{name}: the device returned {_BAD.get(code, f'something wrong (code {code})')}:"
            f" id {bad.id:#x}, {bad.written} bytes written of {bad.writable}, at"
            f" {bad.index}, last taken {bad.last_used}",
            hint="The device must be reset; it, or the path to it, is at fault",
        )
