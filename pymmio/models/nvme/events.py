"""Asynchronous events (NVMe Base 1.4 §5.2, Base 2.0 §5.2)."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from pymmio.models.nvme.status import CommandError, Status

__all__ = ["AsyncEvents", "Event", "EventType"]

_QUEUE_LIMIT = 64  # events that wait for a request; later ones are dropped


class EventType(enum.IntEnum):
    """Asynchronous Event Type; reading the log page of an event unmasks its type."""

    ERROR = 0
    SMART = 1
    NOTICE = 2


class Event(NamedTuple):
    """What a completed Asynchronous Event Request says in its DW0."""

    kind: EventType
    info: int
    log_page: int

    @property
    def dw0(self) -> int:
        return self.kind | self.info << 8 | self.log_page << 16


INVALID_DOORBELL_REGISTER = Event(EventType.ERROR, 0x00, 0x01)
INVALID_DOORBELL_VALUE = Event(EventType.ERROR, 0x01, 0x01)
TEMPERATURE_THRESHOLD = Event(EventType.SMART, 0x01, 0x02)
NAMESPACE_CHANGED = Event(EventType.NOTICE, 0x00, 0x04)


class AsyncEvents:
    """Outstanding requests and waiting events; ``complete(cid, dw0)`` ends a request."""

    def __init__(self, aerl: int, complete: Callable[[int, int], None]) -> None:
        self._limit = aerl + 1
        self._complete = complete
        self.reset()

    def reset(self) -> None:
        """Forget everything, as a controller reset does."""
        self._requests: deque[int] = deque()
        self._events: deque[Event] = deque()
        self._masked: set[EventType] = set()

    @property
    def outstanding(self) -> int:
        return len(self._requests)

    def request(self, cid: int) -> None:
        """Take an Asynchronous Event Request command."""
        if len(self._requests) >= self._limit:
            raise CommandError(Status.ASYNC_EVENT_LIMIT_EXCEEDED, dnr=False)
        self._requests.append(cid)
        self._deliver()

    def withdraw(self, cid: int) -> bool:
        """Take an aborted request out; False if there is none with this identifier."""
        if cid not in self._requests:
            return False
        self._requests.remove(cid)
        return True

    def post(self, event: Event) -> None:
        """Report an event, now or when the driver asks and has read the log of the last."""
        if len(self._events) < _QUEUE_LIMIT:
            self._events.append(event)
        self._deliver()

    def log_was_read(self, kind: EventType) -> None:
        """Clear events of this type: their log page was read with RAE = 0."""
        self._masked.discard(kind)
        self._events = deque(event for event in self._events if event.kind is not kind)
        self._deliver()

    def _deliver(self) -> None:
        for event in tuple(self._events):
            if not self._requests:
                return
            if event.kind in self._masked:
                continue
            self._events.remove(event)
            self._masked.add(event.kind)
            self._complete(self._requests.popleft(), event.dw0)
