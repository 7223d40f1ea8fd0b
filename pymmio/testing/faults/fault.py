"""One thing that goes wrong, and when: values that say so and nothing else."""

from __future__ import annotations

import enum
from collections import abc
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypedDict, Unpack, runtime_checkable

from pymmio.errors import BadArgument
from pymmio.handle import CONFIG_REGION, IrqKind
from pymmio.testing.faults.event import Event, EventKind

__all__ = ["Fault", "Predicate", "StatefulPredicate", "Tracker", "What", "When"]

Predicate = Callable[[Event], bool]
"""Called with each event that the rest of a fault matches; says whether it counts."""


class Tracker(Protocol):
    """Who watches all events of a device, for conditions that one event alone does not show.

    ``epoch`` changes when the device starts anew by a reset that only a driver of its kind knows
    of: what is late from before never comes then.
    """

    epoch: int

    def observe(self, event: Event) -> None:
        """See an event, before anybody is asked about it."""
        ...


@runtime_checkable
class StatefulPredicate(Protocol):
    """A condition that needs a Tracker, such as "a completion of queue 1"."""

    def new_tracker(self) -> Tracker:
        """Return one that has seen nothing; a device has one of each type."""
        ...

    def holds(self, event: Event, tracker: Tracker) -> bool:
        """Tell whether an event counts; ``tracker`` has seen all events until this one."""
        ...


class What(enum.StrEnum):
    """What goes wrong; each is a method of :class:`Fault` that says more."""

    ONES = "ones"
    READS_AS = "reads_as"
    FLIPPED = "flipped"
    WRITE_LOST = "write_lost"
    ACCESS_FAULT = "access_fault"
    REMOVED = "removed"
    RESET = "reset"
    IRQ_LOST = "irq_lost"
    IRQ_LATE = "irq_late"
    IRQ_TWICE = "irq_twice"
    IRQ_REFUSED = "irq_refused"
    MAP_FAILS = "map_fails"
    UNMAP_FAILS = "unmap_fails"
    RESET_FAILS = "reset_fails"
    RESET_LATE = "reset_late"
    DMA_WRITE_LOST = "dma_write_lost"
    DMA_WRITE_LATE = "dma_write_late"
    DMA_WRITE_WRONG = "dma_write_wrong"
    DMA_READ_WRONG = "dma_read_wrong"
    DMA_REFUSED = "dma_refused"


_READ, _WRITE = EventKind.READ, EventKind.WRITE
_EVENTS: dict[What, frozenset[EventKind]] = {
    What.ONES: frozenset({_READ}),
    What.READS_AS: frozenset({_READ}),
    What.FLIPPED: frozenset({_READ}),
    What.WRITE_LOST: frozenset({_WRITE}),
    What.ACCESS_FAULT: frozenset({_READ, _WRITE}),
    What.REMOVED: frozenset({_READ, _WRITE}),
    What.RESET: frozenset({_READ, _WRITE}),
    What.IRQ_LOST: frozenset({EventKind.IRQ}),
    What.IRQ_LATE: frozenset({EventKind.IRQ}),
    What.IRQ_TWICE: frozenset({EventKind.IRQ}),
    What.IRQ_REFUSED: frozenset({EventKind.ENABLE}),
    What.MAP_FAILS: frozenset({EventKind.MAP}),
    What.UNMAP_FAILS: frozenset({EventKind.UNMAP}),
    What.RESET_FAILS: frozenset({EventKind.RESET}),
    What.RESET_LATE: frozenset({EventKind.RESET}),
    What.DMA_WRITE_LOST: frozenset({EventKind.DMA_WRITE}),
    What.DMA_WRITE_LATE: frozenset({EventKind.DMA_WRITE}),
    What.DMA_WRITE_WRONG: frozenset({EventKind.DMA_WRITE}),
    What.DMA_READ_WRONG: frozenset({EventKind.DMA_READ}),
    What.DMA_REFUSED: frozenset({EventKind.DMA_READ, EventKind.DMA_WRITE}),
}
_NUMBERS = ("after", "count", "region", "offset", "length", "vector", "value", "mask")
_KINDS: dict[str, tuple[Any, str]] = {
    "what": (What, "one of What"),
    **dict.fromkeys(_NUMBERS, (int, "a whole number")),
    **dict.fromkeys(("probability", "delay_s"), ((int, float), "a number")),
    "when": ((abc.Callable, StatefulPredicate), "a function of an Event"),
    "irq": (IrqKind, "an IrqKind"),
    "reads": (str, "ones, zeros or fault"),
    "change": (abc.Callable, "a function of bytes"),
}
_NEEDED = {What.READS_AS: "value", What.FLIPPED: "mask", What.RESET_LATE: "delay_s"}
_BY_MODEL = frozenset({EventKind.DMA_READ, EventKind.DMA_WRITE})


class When(TypedDict, total=False):
    """When a fault happens; every method of :class:`Fault` takes these.

    ``after`` matching events pass first, ``count`` are spoiled, each of them with
    ``probability``, and only those of which ``when`` says so.  ``count=None`` is no limit, which
    is the default with a probability or a condition; else it is 1.  A region fault may name
    ``region`` (default: any but configuration space), ``offset`` and ``length``; one of
    interrupts ``irq`` and ``vector``.
    """

    after: int
    count: int | None
    probability: float
    when: Predicate | StatefulPredicate | None
    region: int | None
    offset: int | None
    length: int
    irq: IrqKind | None
    vector: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Fault:
    """Something that goes wrong; make it by one of the methods below."""

    what: What
    after: int = 0
    count: int | None = 1
    probability: float = 1.0
    when: Predicate | StatefulPredicate | None = None
    region: int | None = None
    offset: int | None = None
    length: int = 1
    irq: IrqKind | None = None
    vector: int | None = None
    value: int | None = None
    mask: int | None = None
    delay_s: float | None = None
    reads: str = "ones"
    change: Callable[[bytes], bytes] | None = None

    def __post_init__(self) -> None:
        needed = _NEEDED.get(self.what)
        if needed is not None and getattr(self, needed) is None:
            raise BadArgument(f"{needed}=None", hint=f"Give {_KINDS[needed][1]}")
        for one in fields(self):
            value, (kind, called) = getattr(self, one.name), _KINDS[one.name]
            is_absent = value is None and (one.default is None or one.name == "count")
            if not is_absent and not isinstance(value, kind):
                raise BadArgument(f"{one.name}={value!r}", hint=f"Give {called}")
        if not 0 < self.probability <= 1:
            raise BadArgument(f"probability={self.probability}", hint="Use more than 0, up to 1")
        if self.after < 0 or (self.count is not None and self.count < 1) or self.length < 1:
            raise BadArgument(
                f"after={self.after}, count={self.count}, length={self.length}",
                hint="Events are counted from 0, faults from 1; count=None is no limit",
            )
        if self.delay_s is not None and self.delay_s < 0:
            raise BadArgument(f"delay_s={self.delay_s}", hint="Nothing comes before it was sent")
        if self.reads not in ("ones", "zeros", "fault"):
            raise BadArgument(f"reads={self.reads!r}", hint="Use ones, zeros or fault")

    # --- registers -----------------------------------------------------------------------

    @classmethod
    def ones(cls, **when: Unpack[When]) -> Fault:
        """Have reads give all ones, as where nobody answers."""
        return _made(What.ONES, when)

    @classmethod
    def reads_as(cls, value: int, **when: Unpack[When]) -> Fault:
        """Have reads give ``value``."""
        return _made(What.READS_AS, when, value=value)

    @classmethod
    def flipped(cls, mask: int, **when: Unpack[When]) -> Fault:
        """Have reads give what the device says with the bits of ``mask`` inverted."""
        return _made(What.FLIPPED, when, mask=mask)

    @classmethod
    def write_lost(cls, **when: Unpack[When]) -> Fault:
        """Have writes vanish on their way; nobody is told."""
        return _made(What.WRITE_LOST, when)

    @classmethod
    def access_fault(cls, **when: Unpack[When]) -> Fault:
        """Have accesses raise AccessFault; a write is not made then."""
        return _made(What.ACCESS_FAULT, when)

    # --- the device as a whole -----------------------------------------------------------

    @classmethod
    def removed(cls, reads: str = "ones", **when: Unpack[When]) -> Fault:
        """Pull the device out at an access: it answers nothing any more, and stays away.

        ``reads`` is what its memory gives then: "ones", "zeros" or "fault".  It neither
        interrupts nor reaches memory (bus mastering is switched off behind the driver's back).
        """
        return _made(What.REMOVED, when, reads=reads)

    @classmethod
    def reset(cls, **when: Unpack[When]) -> Fault:
        """Reset the device behind the driver's back, before an access."""
        return _made(What.RESET, when)

    @classmethod
    def reset_fails(cls, **when: Unpack[When]) -> Fault:
        """Have ``reset`` raise Unsupported."""
        return _made(What.RESET_FAILS, when)

    @classmethod
    def reset_late(cls, delay_s: float, **when: Unpack[When]) -> Fault:
        """Have ``reset`` take ``delay_s`` seconds longer."""
        return _made(What.RESET_LATE, when, delay_s=delay_s)

    # --- interrupts ------------------------------------------------------------------------

    @classmethod
    def irq_lost(cls, **when: Unpack[When]) -> Fault:
        """Have interrupts not arrive."""
        return _made(What.IRQ_LOST, when)

    @classmethod
    def irq_late(cls, delay_s: float | None = None, **when: Unpack[When]) -> Fault:
        """Have interrupts arrive after ``delay_s`` seconds; None: when ``release()`` is called."""
        return _made(What.IRQ_LATE, when, delay_s=delay_s)

    @classmethod
    def irq_twice(cls, **when: Unpack[When]) -> Fault:
        """Have interrupts arrive twice, the second one for nothing."""
        return _made(What.IRQ_TWICE, when)

    @classmethod
    def irq_refused(cls, **when: Unpack[When]) -> Fault:
        """Have the machine give no vectors: VectorsExhausted."""
        return _made(What.IRQ_REFUSED, when)

    # --- giving memory to the device ---------------------------------------------------------

    @classmethod
    def map_fails(cls, **when: Unpack[When]) -> Fault:
        """Have the IOMMU refuse a mapping: DmaError."""
        return _made(What.MAP_FAILS, when)

    @classmethod
    def unmap_fails(cls, **when: Unpack[When]) -> Fault:
        """Have taking memory away fail: DmaError; the device still reaches it."""
        return _made(What.UNMAP_FAILS, when)

    # --- what the device does to memory (device models only) ---------------------------------

    @classmethod
    def dma_write_lost(cls, **when: Unpack[When]) -> Fault:
        """Have what the device writes to memory not arrive."""
        return _made(What.DMA_WRITE_LOST, when)

    @classmethod
    def dma_write_late(cls, delay_s: float | None = None, **when: Unpack[When]) -> Fault:
        """Have it arrive after ``delay_s`` seconds; None: when ``release()`` is called.

        Memory that was taken away by then is not written: the IOMMU refuses, the log says so.
        """
        return _made(What.DMA_WRITE_LATE, when, delay_s=delay_s)

    @classmethod
    def dma_write_wrong(
        cls, change: Callable[[bytes], bytes] | None = None, **when: Unpack[When]
    ) -> Fault:
        """Have it arrive as ``change(data)``, of the same length; default: every bit inverted."""
        return _made(What.DMA_WRITE_WRONG, when, change=change)

    @classmethod
    def dma_read_wrong(
        cls, change: Callable[[bytes], bytes] | None = None, **when: Unpack[When]
    ) -> Fault:
        """Have the device read ``change(data)`` from memory; default: every bit inverted."""
        return _made(What.DMA_READ_WRONG, when, change=change)

    @classmethod
    def dma_refused(cls, **when: Unpack[When]) -> Fault:
        """Have the IOMMU refuse what the device reads or writes."""
        return _made(What.DMA_REFUSED, when)

    # --- for the injector ----------------------------------------------------------------------

    @property
    def needs_model(self) -> bool:
        """Whether only a device model shows what it is about."""
        return bool(_EVENTS[self.what] & _BY_MODEL)

    def matches(self, event: Event) -> bool:
        """Tell whether an event is of the kind and at the place; ``when`` is not asked."""
        if event.kind not in _EVENTS[self.what]:
            return False
        if event.kind in (_READ, _WRITE):
            if self.region is None:
                if event.region == CONFIG_REGION:
                    return False
            elif self.region != event.region:
                return False
            if self.offset is None:
                return True
            end = self.offset + self.length
            return self.offset < event.offset + event.width and event.offset < end
        if self.irq is not None and event.irq is not self.irq:
            return False
        return self.vector is None or event.kind is not EventKind.IRQ or event.vector == self.vector

    def __repr__(self) -> str:
        arguments = [
            f"{one.name}={_shown(one.name, getattr(self, one.name))}"
            for one in fields(self)
            if one.name not in ("what", "count") and getattr(self, one.name) != one.default
        ]
        if self.count != _usual_count(self.probability, self.when):
            arguments.append(f"count={self.count}")
        return f"Fault.{self.what}({', '.join(arguments)})"


class _Details(TypedDict, total=False):
    value: int
    mask: int
    delay_s: float | None
    reads: str
    change: Callable[[bytes], bytes] | None


def _made(what: What, when: When, **details: Unpack[_Details]) -> Fault:
    if "count" not in when:
        usual = _usual_count(when.get("probability", 1.0), when.get("when"))
        when = {**when, "count": usual}
    return Fault(what, **when, **details)


def _usual_count(probability: float, when: object) -> int | None:
    return 1 if probability == 1 and when is None else None


def _shown(name: str, value: object) -> str:
    if isinstance(value, IrqKind):
        return f"IrqKind.{value.name}"
    is_number = name in ("offset", "value", "mask")
    return hex(value) if is_number and isinstance(value, int) else repr(value)
