"""Memory of callers: what a command may use, checked before anything is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pymmio.dma import DmaBuffer, DmaSpace
from pymmio.errors import BudgetExceeded, BufferBusy, Closed, MappingLimit, PymmioError
from pymmio.handle import Iova
from pymmio_drivers.nvme.errors import (
    BufferMisaligned,
    BufferSizeMismatch,
    NotDmaMemory,
    NvmeError,
)

__all__ = ["KEPT_BYTES", "Scratch", "check_buffer", "look_at"]

KEPT_BYTES = 4 << 20
"""How much memory is kept for commands to come, at most."""
_LARGEST_KEPT = 1 << 20


def check_buffer(space: DmaSpace, verb: str, of: object, buffer: DmaBuffer, size: int) -> Iova:
    """Return the address of ``buffer`` if a command can transfer ``size`` bytes there.

    ``space`` is the device's, ``verb`` and ``of`` are for messages.  Raises NotDmaMemory,
    BufferSizeMismatch, BufferMisaligned; Closed or ForkedObject if it can no longer be used.
    """
    if not isinstance(buffer, DmaBuffer):
        raise NotDmaMemory(
            f"{verb} of {of}: the device cannot reach {type(buffer).__name__} objects",
            hint="Use memory from Controller.alloc(), or read_bytes() and write_bytes()",
        )
    if size > buffer.size:
        raise BufferSizeMismatch(
            f"{verb} of {of}: {size} bytes are needed, the buffer has {buffer.size}",
            hint="Give a larger buffer, or fewer blocks",
        )
    is_ours = space.owns(buffer)
    iova = buffer.iova  # raises where it is closed: then it is nobody's
    if iova % 4:
        raise BufferMisaligned(
            f"{verb} of {of}: the buffer starts at iova {iova:#x}, which is no multiple of 4",
            hint="Slice buffers at multiples of 4",
        )
    if not is_ours:
        raise NotDmaMemory(
            f"{verb} of {of}: the buffer belongs to another device",
            hint="Use memory from this controller's alloc()",
        )
    return iova


def look_at(buffer: DmaBuffer) -> memoryview:
    """Return a memoryview of ``buffer``; raises Closed where the device was closed meanwhile."""
    try:
        return memoryview(buffer)
    except PymmioError:
        raise
    except ValueError as error:
        raise Closed(f"{buffer!r} was closed with its device", hint="Open it again") from error


class Scratch:
    """Memory for single commands; some of it is kept for the next ones: mapping takes long.

    A command that its caller gave up (Ctrl-C, a broken queue) may still use its memory: that
    is not used again, and freed later, at the latest when the controller was halted.
    ``explained`` says what to raise where the memory was closed under its user.
    Safe for threads.
    """

    def __init__(
        self, space: DmaSpace, align: int, explained: Callable[[Closed], PymmioError]
    ) -> None:
        self._space = space
        self._align = align
        self._explained = explained
        self._lock = threading.Lock()
        self._kept: list[DmaBuffer] = []
        self._busy: list[DmaBuffer] = []

    @contextmanager
    def take(self, size: int, *, fresh: bool = False) -> Iterator[DmaBuffer]:
        """Lend ``size`` bytes or more for the body of a ``with`` statement.

        Page-aligned; zeroed only if ``fresh``.  The body ends normally only after the device
        has done.
        """
        buffer = self.alloc(size) if fresh else self._take_kept(size)
        try:
            yield buffer
        except BaseException as error:
            self.give_back(buffer)
            if isinstance(error, Closed) and not isinstance(error, NvmeError):
                raise self._explained(error)  # noqa: B904 - it has its cause
            raise
        if fresh:
            self.give_back(buffer)
        else:
            self._keep(buffer)

    def _take_kept(self, size: int) -> DmaBuffer:
        if 0 < size <= _LARGEST_KEPT:  # in few sizes, so that they fit again
            size = max(self._space.page_size, 1 << (size - 1).bit_length())
        self._sweep()
        with self._lock:
            for index, buffer in enumerate(self._kept):
                if buffer.size == size:
                    return self._kept.pop(index)
        return self.alloc(size)

    def _keep(self, buffer: DmaBuffer) -> None:
        surplus = [buffer]
        if buffer.size <= _LARGEST_KEPT:
            with self._lock:
                surplus = []
                self._kept.append(buffer)
                while sum(one.size for one in self._kept) > KEPT_BYTES:
                    surplus.append(self._kept.pop(0))
        for one in surplus:
            self.give_back(one)

    def alloc(self, size: int) -> DmaBuffer:
        """Allocate ``size`` bytes, page-aligned and zeroed, for whoever closes the buffer."""
        self._sweep()
        try:
            try:
                return self._space.alloc(size, align=self._align)
            except (MappingLimit, BudgetExceeded):
                if not self._drop_kept():
                    raise
            return self._space.alloc(size, align=self._align)
        except Closed as error:
            raise self._explained(error)  # noqa: B904 - it has its cause

    def give_back(self, buffer: DmaBuffer) -> None:
        """Free a buffer, later if the device uses it."""
        try:
            buffer.close()
        except BufferBusy:
            with self._lock:
                self._busy.append(buffer)

    def _drop_kept(self) -> int:
        """Free what is kept; return how many buffers that were."""
        with self._lock:
            kept, self._kept = self._kept, []
        for buffer in kept:
            self.give_back(buffer)
        return len(kept)

    def _sweep(self) -> None:
        """Free what was in use when its command was given up, and no longer is."""
        if not self._busy:
            return
        with self._lock:
            busy, self._busy = self._busy, []
        for buffer in busy:
            self.give_back(buffer)

    def close(self) -> None:
        """Free what is left; what is still held is memory of a device that did not stop."""
        self._drop_kept()
        self._sweep()
