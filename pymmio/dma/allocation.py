"""One piece of memory that a device can reach, and who uses it."""

from __future__ import annotations

import itertools
import threading
from weakref import WeakValueDictionary

from pymmio.dma.memory import SharedMemory
from pymmio.errors import BufferBusy, Closed, DmaError, ForkedObject
from pymmio.handle import Iova

__all__ = ["Allocation"]


class Allocation:
    """Memory, its place in the device's address space, and the count of its users.

    The DmaSpace holds allocations, so that memory outlives the buffer objects that a program
    forgets; buffers and their views refer to it.  ``lock`` is the space's.
    """

    def __init__(self, memory: SharedMemory, iova: Iova, lock: threading.RLock) -> None:
        self.memory = memory
        self.iova = iova
        self.lock = lock
        self.holds = 0
        self.is_mapped = False  #: the device can reach it; set by the space
        self._is_usable = True
        self._is_forked = False
        self._root = memory.view()
        self._kept: memoryview | None = None  # for who holds it when the space closes
        self._pieces: WeakValueDictionary[int, memoryview] = WeakValueDictionary()
        self._next_key = itertools.count()

    @property
    def size(self) -> int:
        """Size of the mapping in bytes, in whole pages."""
        return self.memory.size

    @property
    def is_usable(self) -> bool:
        """False once it is being closed, and in a forked child."""
        return self._is_usable

    def require_usable(self) -> None:
        """Raise Closed or ForkedObject unless buffers may be used."""
        if self._is_forked:
            raise ForkedObject(
                f"the DMA buffer at iova {self.iova:#x} belongs to the parent process",
                hint="Open the device in the child, or use the buffer in the parent only",
            )
        if not self._is_usable:
            raise self.closed_error()

    def closed_error(self) -> Closed:
        """Return what to raise for a use after close."""
        return Closed(f"the DMA buffer at iova {self.iova:#x} is closed", hint="Allocate a new one")

    def release_piece(self, piece: memoryview) -> None:
        """Let nobody use ``piece`` any more; raise BufferBusy if it has exports."""
        with self.lock:
            try:
                piece.release()
            except BufferError as error:
                raise self._busy_with_views() from error

    def piece(self, offset: int, size: int) -> memoryview:
        """Return ``size`` bytes at ``offset``; ``seal`` will release them."""
        with self.lock:
            self.require_usable()
            piece = self._root[offset : offset + size]
            self._pieces[next(self._next_key)] = piece
            return piece

    def hold(self) -> None:
        """Count one more use by the device."""
        with self.lock:
            self.require_usable()
            self.holds += 1

    def release(self) -> None:
        """Count one use less; allowed after close, when the device went away first."""
        with self.lock:
            if self.holds == 0:
                raise DmaError(
                    f"the DMA buffer at iova {self.iova:#x} is released more often than held",
                    hint="Call release() once for each hold()",
                )
            self.holds -= 1
            if not self.holds and self._kept is not None:
                self._kept.release()
                self._kept = None
                if self.memory.is_closed:  # not so where the backend failed to unmap it
                    self.memory.close()

    def seal(self) -> None:
        """Let nobody use the memory any more; raise BufferBusy if somebody still does.

        After BufferBusy the allocation is as usable as before; pieces that nobody used are gone.
        """
        with self.lock:
            if self.holds:
                raise BufferBusy(
                    f"the DMA buffer at iova {self.iova:#x} is used by the device"
                    f" ({self.holds} operations)",
                    hint="Wait for the operations, or reset the device, then close",
                )
            try:
                for piece in reversed(list(self._pieces.values())):  # the whole comes last
                    piece.release()
            except BufferError as error:
                raise self._busy_with_views() from error
            self._is_usable = False
            self._root.release()

    def _busy_with_views(self) -> BufferBusy:
        return BufferBusy(
            f"the DMA buffer at iova {self.iova:#x} has memoryviews or arrays on it",
            hint="Release the memoryviews (del, or view.release()), then close",
        )

    def abandon(self) -> None:
        """Let nobody new use the memory; what is exported or held stays valid in this process.

        An engine in C that still runs must not find its queues gone.
        """
        with self.lock:
            if self.holds and self._is_usable:
                self._kept = self.memory.view()
            self._is_usable = False
            for piece in [*self._pieces.values(), self._root]:
                try:
                    piece.release()
                except BufferError:
                    continue  # an exported view keeps the memory; it dies with that view

    def after_fork(self, lock: threading.RLock) -> None:
        """Refuse all use, in the child; nothing of the parent's is touched."""
        self.lock = lock
        self._is_forked = True
        self.abandon()
