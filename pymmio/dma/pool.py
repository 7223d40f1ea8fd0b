"""Cut many small pieces from one buffer: lists of addresses, queue entries, descriptors."""

from __future__ import annotations

import threading

from pymmio.dma.buffer import DmaBuffer
from pymmio.dma.iova import IovaAllocator
from pymmio.errors import DmaError, IovaExhausted
from pymmio.handle import IovaRange

__all__ = ["DmaPool"]


class DmaPool:
    """Small aligned pieces of one DmaBuffer, which stays the caller's.

    A mapping of its own for each list of addresses would waste a page and soon meet the limit
    on mappings.  ``granule`` is the smallest size and alignment, a power of two, in bytes.
    Pieces come from the low end, first fit; they are not zeroed.  Safe for threads.
    """

    def __init__(self, buffer: DmaBuffer, *, granule: int = 64) -> None:
        self._buffer = buffer
        self._first = buffer.iova
        whole = IovaRange(buffer.iova, buffer.iova + buffer.size - 1)
        self._free = IovaAllocator([whole], page_size=granule)
        self._lock = threading.Lock()

    @property
    def free_bytes(self) -> int:
        """How many bytes are not in use, in pieces of whatever size."""
        return self._free.free_bytes

    def alloc(self, size: int, *, align: int | None = None) -> DmaBuffer:
        """Return a piece of ``size`` bytes whose iova is a multiple of ``align``.

        Raises IovaExhausted if no free piece is large enough, BadArgument for a size below 1 or
        an alignment that is no power of two.
        """
        with self._lock:
            try:
                iova = self._free.allocate(size, align=align)
            except IovaExhausted as error:
                raise IovaExhausted(
                    f"no {size} bytes aligned to {align or self._free.page_size} are left in a"
                    f" pool of {self._buffer.size}: {self._free.free_bytes} are free, the largest"
                    f" free piece has {self._free.largest_free}",
                    hint="Free pieces, or make the pool from a larger buffer",
                ) from error
            try:
                return self._buffer[iova - self._first : iova - self._first + size]
            except BaseException:
                self._free.free(iova)
                raise

    def free(self, piece: DmaBuffer) -> None:
        """Close a piece and take it back.

        Raises BufferBusy while memoryviews of it exist, Closed if it was closed already, DmaError
        if it is not a piece of this pool; nothing is taken back then.
        """
        with self._lock:
            iova = piece.iova
            if not piece.is_part_of(self._buffer) or not self._free.is_taken(iova):
                raise DmaError(
                    f"{piece!r} is not a piece of this pool", hint="Free each piece exactly once"
                )
            piece.close()
            self._free.free(iova)
