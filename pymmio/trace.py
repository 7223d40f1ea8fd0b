"""Access events and where they go.

Tracing costs nothing when it is off: a traced device hands out other region objects
(:class:`pymmio.mmio.TracedRegion`) that report each access to a sink.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["AccessEvent", "RingSink", "Sink"]


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """One access as the program asked for it.

    ``kind`` is "read", "write", "wait" or "block"; ``width`` is in bytes (of each piece of
    a block), ``size`` is the whole length in bytes.  ``value`` is what was read or written,
    None for a block or where ``error`` says what was raised instead.
    """

    time_ns: int
    region: str
    kind: str
    offset: int
    width: int
    value: int | None
    size: int = 0
    error: str | None = None

    def __str__(self) -> str:
        what = f"{self.region}+{self.offset:#06x} {self.kind}{8 * self.width}"
        if self.error:
            return f"{what} failed: {self.error}"
        if self.value is None:
            return f"{what} {self.size} bytes"
        return f"{what} {self.value:#0{2 + 2 * self.width}x}"


Sink = Callable[[AccessEvent], None]


class RingSink:
    """Keeps the last ``size`` events in ``events``, oldest first."""

    def __init__(self, size: int = 4096) -> None:
        self.events: deque[AccessEvent] = deque(maxlen=size)

    def __call__(self, event: AccessEvent) -> None:
        """Take one event."""
        self.events.append(event)
