"""Memory that both the program and the device can reach."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Self

from pymmio.arch import BufferBase
from pymmio.errors import BadArgument, OutOfBounds
from pymmio.handle import Iova
from pymmio.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymmio.dma.allocation import Allocation

__all__ = ["DmaBuffer"]


class DmaBuffer(BufferBase, Owner):
    """A buffer from :meth:`DmaSpace.alloc`, or a part of one.

    Exposes the buffer protocol, writable: ``memoryview(buf)``, ``bytes(buf)``,
    ``file.readinto(buf)``.  ``buf[a:b]`` is a view of the same memory with its own ``iova``; it
    shares the life of the whole buffer and keeps the object alive.  Bounds are strict: a part
    that does not fit raises OutOfBounds instead of being made smaller.

    ``close()`` takes the memory away from the device and from the program.  It raises
    BufferBusy while the device uses it (``hold``) or memoryviews of it exist.  A buffer that
    the program forgets stays mapped until its DmaSpace is closed.

    Every use after close raises Closed; in a forked child, ForkedObject.
    """

    _allocation: Allocation
    _close: Callable[[Allocation], None]
    _owner: DmaBuffer | None
    _offset: int
    _size: int
    _piece: memoryview
    _is_closed: bool

    def __new__(
        cls,
        allocation: Allocation,
        close: Callable[[Allocation], None],
        offset: int,
        size: int,
        owner: DmaBuffer | None = None,
    ) -> Self:
        """Not for callers: buffers come from DmaSpace.alloc and from slices."""
        piece = allocation.piece(offset, size)
        self = super().__new__(cls, piece)
        self._allocation = allocation
        self._close = close
        self._owner = owner
        self._offset = offset
        self._size = size
        self._piece = piece
        self._is_closed = False
        return self

    @property
    def iova(self) -> Iova:
        """The address of the first byte as the device sees it."""
        self._require_open()
        return Iova(self._allocation.iova + self._offset)

    @property
    def size(self) -> int:
        """Size in bytes; the same as ``len(buf)``."""
        return self._size

    @property
    def address(self) -> int:
        """The address of the first byte in this process, for C engines, which must ``hold``."""
        self._require_open()
        return self._allocation.memory.address + self._offset

    @property
    def fd(self) -> int:
        """The descriptor of the memory, for backends that hand it to another process."""
        self._require_open()
        return self._allocation.memory.fd

    @property
    def fd_offset(self) -> int:
        """Where in the memory of ``fd`` the first byte is."""
        self._require_open()
        return self._allocation.memory.offset + self._offset

    @property
    def is_view(self) -> bool:
        """Whether this is a part of another buffer."""
        return self._owner is not None

    def is_part_of(self, whole: DmaBuffer) -> bool:
        """Whether this is a part of the same memory as ``whole``."""
        return self._owner is not None and self._allocation is whole._allocation

    @property
    def closed(self) -> bool:
        """Whether this buffer, or the buffer that it is a part of, was closed."""
        return self._is_closed or not self._allocation.is_usable

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> DmaBuffer:
        """Return a view of ``buf[a:b]`` with its own iova.

        Raises OutOfBounds unless 0 <= a < b <= len(buf), negative indices counting from the
        end, and BadArgument for a step.
        """
        self._require_open()
        if not isinstance(part, slice):
            raise BadArgument(
                f"a DMA buffer has no element {part!r}",
                hint="Use memoryview(buf)[i] for bytes, buf[a:b] for a part",
            )
        if part.step not in (None, 1):
            raise BadArgument(
                f"a part of a DMA buffer with step {part.step} is not contiguous for the device",
                hint="Use a step of 1",
            )
        start = self._index(part.start, 0)
        stop = self._index(part.stop, self._size)
        if not 0 <= start < stop <= self._size:
            raise OutOfBounds(
                f"[{part.start}:{part.stop}] is not a part of a DMA buffer of {self._size} bytes",
                region="DMA buffer",
                offset=start,
                width=max(0, stop - start),
                hint="Parts are not empty and end inside the buffer",
            )
        owner = self if self._owner is None else self._owner
        return DmaBuffer(self._allocation, self._close, self._offset + start, stop - start, owner)

    def hold(self) -> None:
        """Tell that the device uses the memory from now on: ``close`` is refused.

        Counted, for the whole buffer; each hold needs one ``release``.
        """
        self._require_open()
        self._allocation.hold()

    def release(self) -> None:
        """Tell that one use by the device has ended.  Raises DmaError without a ``hold``."""
        self._allocation.release()

    def close(self) -> None:
        """Take the memory away from the device, then free it; closing twice is fine.

        A view only closes itself.  Raises BufferBusy, with the buffer still usable, while the
        device uses it or memoryviews of it exist; views of it that nobody uses are closed by
        then.  Raises DmaError if the backend cannot unmap: the memory then stays allocated, and
        ``close`` may be tried again.
        """
        if self._owner is None:
            self._close(self._allocation)
        else:
            self._allocation.release_piece(self._piece)
        self._is_closed = True

    def _require_open(self) -> None:
        self._allocation.require_usable()
        if self._is_closed:
            raise self._allocation.closed_error()

    def _index(self, index: int | None, default: int) -> int:
        if index is None:
            return default
        return index + self._size if index < 0 else index

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        iova = self._allocation.iova + self._offset
        return f"<DmaBuffer iova={iova:#x} size={self._size:#x}{state}>"

    def __del__(self) -> None:
        # Attributes may be missing when __new__ failed.
        allocation = getattr(self, "_allocation", None)
        if allocation is None or self._owner is not None:
            return
        if allocation.is_mapped and allocation.is_usable:
            warnings.warn(
                f"{self!r} was not closed; its memory stays allocated until its DmaSpace closes",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
