"""Memory of callers: what a command may use, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pymmio.dma import DmaBuffer, DmaSpace
from pymmio.errors import BufferBusy
from pymmio_drivers.nvme.errors import BufferMisaligned, BufferSizeMismatch, NotDmaMemory

__all__ = ["check_buffer", "scratch"]


def check_buffer(what: str, buffer: object, size: int) -> DmaBuffer:
    """Return ``buffer`` if a command can transfer ``size`` bytes to or from its start.

    Raises NotDmaMemory, BufferSizeMismatch, BufferMisaligned; Closed or ForkedObject if it can
    no longer be used.
    """
    if not isinstance(buffer, DmaBuffer):
        raise NotDmaMemory(
            f"{what}: the device cannot reach {type(buffer).__name__} objects",
            hint="Use memory from Controller.alloc(), or read_bytes() and write_bytes()",
        )
    if size > buffer.size:
        raise BufferSizeMismatch(
            f"{what}: {size} bytes are needed, the buffer has {buffer.size}",
            hint="Give a larger buffer, or fewer blocks",
        )
    if buffer.iova % 4:
        raise BufferMisaligned(
            f"{what}: the buffer starts at iova {buffer.iova:#x}, which is no multiple of 4",
            hint="Slice buffers at multiples of 4",
        )
    return buffer


@contextmanager
def scratch(space: DmaSpace, size: int, *, align: int) -> Iterator[DmaBuffer]:
    """Allocate memory for one command and free it after.

    Memory that the device still uses stays, until the device is closed.
    """
    buffer = space.alloc(size, align=align)
    try:
        yield buffer
    finally:
        # Busy: the controller could not be stopped; closing the device unmaps the memory.
        with suppress(BufferBusy):
            buffer.close()
