"""Memory of callers: what a command may use, checked before anything is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pymmio.dma import DmaBuffer, DmaSpace
from pymmio.errors import BufferBusy, Closed, PymmioError
from pymmio.handle import Iova
from pymmio_drivers.nvme.errors import (
    BufferMisaligned,
    BufferSizeMismatch,
    NotDmaMemory,
    NvmeError,
)

__all__ = ["Scratch", "check_buffer", "look_at"]


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
    iova = buffer.iova
    if iova % 4:
        raise BufferMisaligned(
            f"{verb} of {of}: the buffer starts at iova {iova:#x}, which is no multiple of 4",
            hint="Slice buffers at multiples of 4",
        )
    if not space.owns(buffer):
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
    """Memory for single commands, freed after each.

    A command that its caller gave up (Ctrl-C, a broken queue) may still use its memory: that
    is kept and freed later, at the latest when the controller was halted.  ``explained`` says
    what to raise where the memory was closed under its user.
    """

    def __init__(
        self, space: DmaSpace, align: int, explained: Callable[[Closed], PymmioError]
    ) -> None:
        self._space = space
        self._align = align
        self._explained = explained
        self._lock = threading.Lock()
        self._busy: list[DmaBuffer] = []

    @contextmanager
    def take(self, size: int) -> Iterator[DmaBuffer]:
        """Allocate ``size`` bytes for the body of a ``with`` statement."""
        buffer = self.alloc(size)
        try:
            yield buffer
        except Closed as error:
            if isinstance(error, NvmeError):
                raise
            raise self._explained(error)  # noqa: B904 - it has its cause
        finally:
            self.give_back(buffer)

    def alloc(self, size: int) -> DmaBuffer:
        """Allocate ``size`` bytes, page-aligned, for whoever closes the buffer."""
        self._sweep()
        try:
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

    def _sweep(self) -> None:
        with self._lock:
            busy, self._busy = self._busy, []
        for buffer in busy:
            self.give_back(buffer)

    def close(self) -> None:
        """Free what is left; what is still held is memory of a device that did not stop."""
        self._sweep()
