"""Where events go: a function, a ring in memory, lines of text."""

from __future__ import annotations

import heapq
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.facts import DeviceFacts
from pymmio.trace.names import RegisterNames

__all__ = ["EventRing", "EventSink", "RingSink", "Sink", "TextSink"]

Sink = Callable[[AccessEvent], None]
"""Anything that takes accesses; an :class:`EventSink` takes all else, too."""


class EventSink:
    """A sink that is told everything about one device; subclasses override what they want.

    ``lock`` is held around each call of :meth:`note`; accesses come from the threads that made
    them, at the same time.  ``is_recording`` asks for single accesses in their order with the
    memory that the device wrote: see :class:`pymmio.trace.RecordingSink`.
    """

    is_recording = False

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def begin(self, device: DeviceFacts) -> None:
        """Take what is known about the device, before its first event."""

    def __call__(self, event: AccessEvent) -> None:
        """Take an access."""

    def note(self, event: DmaEvent | MemoryEvent | IrqEvent | LifeEvent) -> None:
        """Take what is no access."""

    def name_registers(self, index: int, names: RegisterNames) -> None:
        """Take the names of the registers of a region; more may come for the same."""

    def synchronise(self) -> None:
        """Bring memory of program and device together; called with the lock held."""

    def alone(self) -> AbstractContextManager[object]:
        """Keep other threads from accesses, where the sink orders them."""
        return nullcontext()

    def end(self) -> None:
        """Take note that the device was closed; nothing comes afterwards."""


class RingSink:
    """Keeps the last ``size`` accesses in ``events``, oldest first."""

    def __init__(self, size: int = 4096) -> None:
        self.events: deque[AccessEvent] = deque(maxlen=size)

    def __call__(self, event: AccessEvent) -> None:
        """Take one event."""
        self.events.append(event)


class EventRing(EventSink):
    """Keeps the last ``size`` accesses, and as many of all other events.

    Polling therefore never pushes out what it waits for.
    """

    def __init__(self, size: int = 4096) -> None:
        super().__init__()
        self.events: deque[AccessEvent] = deque(maxlen=size)
        self.notes: deque[DmaEvent | MemoryEvent | IrqEvent | LifeEvent] = deque(maxlen=size)

    def __call__(self, event: AccessEvent) -> None:
        """Take an access."""
        self.events.append(event)

    def note(self, event: DmaEvent | MemoryEvent | IrqEvent | LifeEvent) -> None:
        """Take what is no access."""
        self.notes.append(event)

    def story(self) -> list[Event]:
        """Return all that is kept in the order of time."""
        both: tuple[Iterable[Event], Iterable[Event]] = (list(self.events), list(self.notes))
        return list(heapq.merge(*map(_by_time, both), key=_time))


def _by_time(events: Iterable[Event]) -> list[Event]:
    return sorted(events, key=_time)


def _time(event: Event) -> int:
    return event.time_ns


class TextSink(EventSink):
    """Writes a line for each event, with the seconds since the first one and its thread.

    ``stream`` is standard error as it is then, unless one is given.  Registers have their names
    as soon as the driver has told them (:meth:`pymmio.Device.name_registers`).
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream
        self._start_ns: int | None = None
        self._names: dict[int, RegisterNames] = {}

    def __call__(self, event: AccessEvent) -> None:
        """Write an access."""
        self._write(event)

    def note(self, event: DmaEvent | MemoryEvent | IrqEvent | LifeEvent) -> None:
        """Write what is no access."""
        self._write(event)

    def name_registers(self, index: int, names: RegisterNames) -> None:
        """Use these names from now on."""
        known = self._names.get(index)
        self._names[index] = names if known is None else known.joined(names)

    def _write(self, event: Event) -> None:
        start = self._start_ns = event.time_ns if self._start_ns is None else self._start_ns
        names = None
        if isinstance(event, AccessEvent) and event.index is not None:
            names = self._names.get(event.index)
        text = str(event) if names is None else names.describe(event)  # type: ignore[arg-type]
        stream = self._stream or sys.stderr
        stream.write(f"{(event.time_ns - start) / 1e9:12.6f} [{event.thread}] {text}\n")
