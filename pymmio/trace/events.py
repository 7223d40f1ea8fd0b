"""What happened on a device, as values: accesses, memory, interrupts, its life."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AccessEvent", "DmaEvent", "Event", "IrqEvent", "LifeEvent", "MemoryEvent"]


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """One access as the program asked for it.

    ``kind`` is "read", "write", "wait" or "block"; ``width`` is in bytes (of each piece of
    a block), ``size`` is the whole length in bytes.  ``value`` is what was read or written,
    None for a block or where ``error`` says what was raised instead.

    ``time_ns`` is monotonic and taken when the access came back, ``duration_ns`` before that
    it was made, by the thread with the number ``thread`` of the system.  ``index`` is that of
    the region, None where the region belongs to no device; ``base`` is where ``offset`` counts
    from: more than 0 in a window.

    In a recording an event is one access as the device got it, "poll" is ``count`` reads of a
    wait that gave the same value, and the value is the number that its bytes on the bus are in
    little-endian order.
    """

    time_ns: int
    region: str
    kind: str
    offset: int
    width: int
    value: int | None
    size: int = 0
    error: str | None = None
    thread: int = 0
    index: int | None = None
    base: int = 0
    duration_ns: int = 0
    count: int = 1

    @property
    def position(self) -> int:
        """The offset in the whole region, whatever window the access went through."""
        return self.base + self.offset

    def __str__(self) -> str:
        what = f"{self.region}+{self.offset:#06x} {self.kind}{8 * self.width}"
        if self.count > 1:
            what += f" ({self.count} times)"
        if self.error:
            return f"{what} failed: {self.error}"
        if self.value is None:
            return f"{what} {self.size} bytes"
        return f"{what} {self.value:#0{2 + 2 * self.width}x}"


@dataclass(frozen=True, slots=True)
class DmaEvent:
    """Memory was given to the device ("map") or taken away ("unmap"); sizes in bytes."""

    time_ns: int
    kind: str
    iova: int
    size: int
    thread: int = 0

    def __str__(self) -> str:
        return f"dma {self.kind} {self.size:#x} bytes at iova {self.iova:#x}"


@dataclass(frozen=True, slots=True)
class MemoryEvent:
    """The device wrote ``data`` into memory of the program; only recordings have these.

    The time is when the program could see it.
    """

    time_ns: int
    iova: int
    data: bytes
    thread: int = 0
    kind: str = "memory"

    def __str__(self) -> str:
        return f"dma memory {len(self.data):#x} bytes at iova {self.iova:#x}"


@dataclass(frozen=True, slots=True)
class IrqEvent:
    """An interrupt came ("irq", ``count`` of them), or interrupts were switched.

    ``kind`` is "irq-on" (``count`` vectors from 0 on; those in ``without`` stay off), "irq-off",
    "unmask" (INTx), or "irq".  ``irq`` is a name of :class:`pymmio.handle.IrqKind`.
    """

    time_ns: int
    kind: str
    irq: str
    vector: int = 0
    count: int = 1
    without: tuple[int, ...] = ()
    thread: int = 0

    def __str__(self) -> str:
        match self.kind:
            case "irq":
                times = f" ({self.count} times)" if self.count > 1 else ""
                return f"interrupt {self.irq}[{self.vector}]{times}"
            case "irq-on":
                return f"interrupts {self.irq} on: {self.count - len(self.without)} vectors"
            case "irq-off":
                return f"interrupts {self.irq} off"
        return f"interrupt {self.irq} unmasked"


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """The device was opened ("open"), "reset" or closed ("close"), the backend said that it has
    left ("gone"), or memory of it was mapped for plain accesses that nobody sees ("view").

    ``error`` says why a reset failed.
    """

    time_ns: int
    kind: str
    error: str | None = None
    thread: int = 0

    def __str__(self) -> str:
        return f"device {self.kind} failed: {self.error}" if self.error else f"device {self.kind}"


Event = AccessEvent | DmaEvent | MemoryEvent | IrqEvent | LifeEvent
