"""What happens between a driver and its device, one event at a time."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pymmio.handle import IrqKind

__all__ = ["Event", "EventKind"]


class EventKind(enum.StrEnum):
    """The events that a fault can be injected into."""

    READ = "read"  #: a read of a region; ``value`` is what the device gave
    WRITE = "write"  #: a write to a region
    IRQ = "irq"  #: an interrupt on its way to the program
    ENABLE = "enable"  #: interrupts are switched on
    MAP = "map"  #: memory is given to the device
    UNMAP = "unmap"  #: memory is taken from the device
    RESET = "reset"  #: the function is reset
    DMA_READ = "dma read"  #: the device reads memory; ``data`` is what it got
    DMA_WRITE = "dma write"  #: the device writes ``data`` to memory
    MODEL_WRITE = "model write"  #: a write as the model sees it; to look at, never to spoil


@dataclass(frozen=True, slots=True)
class Event:
    """One event; fields that its kind has no use for keep their defaults."""

    kind: EventKind
    region: int = -1  #: index of the region
    offset: int = 0
    width: int = 0  #: bytes of an access
    value: int = 0  #: of an access, as the little-endian bytes on the bus say
    irq: IrqKind | None = None
    vector: int = 0
    iova: int = 0
    size: int = 0  #: bytes of a mapping
    data: bytes = b""  #: of a transfer by the device

    def __str__(self) -> str:
        if self.kind in (EventKind.READ, EventKind.WRITE, EventKind.MODEL_WRITE):
            return (
                f"{self.kind} of {self.width} bytes at {self.offset:#x} of region {self.region}: "
                f"{self.value:#x}"
            )
        if self.kind is EventKind.IRQ:
            return f"irq {self.irq} {self.vector}"
        if self.kind is EventKind.ENABLE:
            return f"enable {self.size} {self.irq}"
        if self.kind in (EventKind.MAP, EventKind.UNMAP):
            return f"{self.kind} of {self.size:#x} bytes at iova {self.iova:#x}"
        if self.kind is EventKind.RESET:
            return "reset"
        return f"{self.kind} of {len(self.data)} bytes at iova {self.iova:#x}"
