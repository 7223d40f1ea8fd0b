"""What a trace amounts to: how often, how long, how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.names import RegisterNames, region_label

__all__ = ["RegisterUse", "Summary", "summarise"]


@dataclass(slots=True)
class RegisterUse:
    """What was done with one register; times are in nanoseconds."""

    region: str
    offset: int
    width: int
    name: str = ""
    reads: int = 0
    writes: int = 0
    errors: int = 0
    time_ns: int = 0
    values: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, object]:
        """Return it ready for JSON."""
        return {
            "region": self.region,
            "offset": self.offset,
            "width": self.width,
            "name": self.name,
            "reads": self.reads,
            "writes": self.writes,
            "errors": self.errors,
            "time_ns": self.time_ns,
            "distinct_values": len(self.values),
        }


@dataclass(slots=True)
class Summary:
    """A trace in numbers; ``registers`` in the order of their first use."""

    events: int = 0
    duration_ns: int = 0
    threads: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    interrupts: Counter[str] = field(default_factory=Counter)
    memory_bytes: int = 0  #: that the device wrote, as far as it was recorded
    mapped_bytes: int = 0  #: at most at once
    registers: list[RegisterUse] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return it ready for JSON."""
        return {
            "events": self.events,
            "duration_ns": self.duration_ns,
            "threads": self.threads,
            "kinds": dict(self.kinds),
            "interrupts": dict(self.interrupts),
            "memory_bytes": self.memory_bytes,
            "mapped_bytes": self.mapped_bytes,
            "registers": [one.as_dict() for one in self.registers],
        }


def summarise(events: Iterable[Event], names: Mapping[int, RegisterNames] | None = None) -> Summary:
    """Count what is in ``events``."""
    total = Summary()
    threads: set[int] = set()
    times: list[int] = []
    uses: dict[tuple[str, int, int], RegisterUse] = {}
    mapped = 0
    for event in events:
        total.events += 1
        total.kinds[event.kind] += 1
        threads.add(event.thread)
        times.append(event.time_ns)
        match event:
            case AccessEvent():
                _count(uses, event, names or {})
            case IrqEvent(kind="irq"):
                total.interrupts[f"{event.irq}[{event.vector}]"] += event.count
            case MemoryEvent():
                total.memory_bytes += len(event.data)
            case DmaEvent():
                mapped += event.size if event.kind == "map" else -event.size
                total.mapped_bytes = max(total.mapped_bytes, mapped)
            case IrqEvent() | LifeEvent():
                pass
    total.threads = len(threads)
    total.duration_ns = max(times) - min(times) if times else 0
    total.registers = list(uses.values())
    return total


def _count(
    uses: dict[tuple[str, int, int], RegisterUse],
    event: AccessEvent,
    names: Mapping[int, RegisterNames],
) -> None:
    key = event.region.partition("[")[0], event.position, event.width
    if key not in uses:
        name = ""
        if event.index is not None and event.index in names:
            name = names[event.index].find(event.position, event.width)[0]
        uses[key] = RegisterUse(region_label(event.region), event.position, event.width, name)
    use = uses[key]
    if event.error is not None:
        use.errors += 1
    elif event.kind == "write":
        use.writes += 1
    else:
        use.reads += event.count
    use.time_ns += event.duration_ns
    if event.value is not None:
        use.values[event.value] += event.count
