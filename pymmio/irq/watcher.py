"""Call functions when VFIO reports an event: the device is wanted back, or has an error.

The two events (REQ and ERR) have one eventfd each.  While somebody has subscribed to one, a
thread reads it and hands the event on to the subscribers and to ``irqs.req[0]``, ``irqs.err[0]``.
"""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pymmio import forks
from pymmio.errors import Closed, ForkedObject
from pymmio.handle import IrqKind
from pymmio.irq.eventfd import EventFd
from pymmio.irq.vectors import Interrupts
from pymmio.owner import raise_first

__all__ = ["EventWatcher", "Subscription"]

JOIN_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """A callback that is called at each event of a kind, until it is closed."""

    kind: IrqKind
    callback: Callable[[], object]
    _forget: Callable[[Subscription], None] = field(repr=False)

    def close(self) -> None:
        """Call it no more.  A call that is under way goes on; closing twice is fine."""
        self._forget(self)


class EventWatcher:
    """The subscribers of one device's events, and the thread that serves them.

    The thread starts with the first subscription and ends at :meth:`close`.  Callbacks run in
    it, one after the other; what one raises is reported through :func:`threading.excepthook`,
    and the next one is called.  ``first`` is called before them, with the kind.
    """

    def __init__(self, irqs: Interrupts, *, first: Callable[[IrqKind], object]) -> None:
        self._irqs = irqs
        self._first = first
        self._lock = threading.RLock()
        self._subscriptions: list[Subscription] = []
        self._taps: dict[IrqKind, EventFd] = {}
        self._wake: EventFd | None = None
        self._thread: threading.Thread | None = None
        self._is_calling = False
        self._state = "open"
        forks.track(self)

    def subscribe(self, kind: IrqKind, callback: Callable[[], object]) -> Subscription:
        """Have ``callback`` called at each event of ``kind`` from now on.

        Raises Unsupported where the device has no such event, Closed, ForkedObject.
        """
        with self._lock:
            self._require_open()
            if kind not in self._taps:
                self._tap(kind)
            subscription = Subscription(kind, callback, self._forget)
            self._subscriptions.append(subscription)
            if self._thread is None:
                name = f"pymmio events of {self._irqs.name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            assert self._wake is not None
            self._wake.signal()  # there may be a new tap to look at
            return subscription

    def _tap(self, kind: IrqKind) -> None:
        if self._wake is None:
            self._wake = EventFd()
        tap = EventFd()
        try:
            self._irqs.of_kind(kind)._attach_tap(tap)
        except BaseException:
            tap.close()
            raise
        self._taps[kind] = tap

    def _forget(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def _run(self) -> None:
        try:
            while taps := self._wait():
                for kind, tap in taps.items():
                    if events := tap.try_take():
                        self._dispatch(kind, events)
        finally:
            with self._lock:
                for descriptor in (*self._taps.values(), self._wake):
                    if descriptor is not None:
                        descriptor.close()

    def _wait(self) -> dict[IrqKind, EventFd]:
        """Wait for any event and return what to look at; nothing when it is time to end."""
        with self._lock:
            assert self._wake is not None
            taps, wake = dict(self._taps), self._wake
        poll = select.poll()
        for descriptor in (*taps.values(), wake):
            poll.register(descriptor.fileno(), select.POLLIN)
        poll.poll()
        wake.try_take()
        return taps if self._state == "open" else {}

    def _dispatch(self, kind: IrqKind, events: int) -> None:
        with self._lock:
            if self._state != "open":
                return
            chosen = [s.callback for s in self._subscriptions if s.kind is kind]
            self._is_calling = True
        self._irqs.of_kind(kind)._forward(events)
        for callback in (lambda: self._first(kind), *chosen):
            try:
                callback()
            except BaseException:
                threading.excepthook(
                    threading.ExceptHookArgs([*sys.exc_info(), threading.current_thread()])
                )
        with self._lock:
            self._is_calling = False

    def close(self) -> None:
        """Stop watching and end the thread; closing twice is fine.

        A callback that is running goes on and is not waited for: it may be what closes.  Goes on
        where the backend fails, and raises that afterwards.
        """
        errors: list[Exception] = []
        with self._lock:
            if self._state != "open":
                return
            self._state = "closed"
            self._subscriptions.clear()
            for kind in list(self._taps):
                try:
                    self._irqs.of_kind(kind)._detach_tap()
                except Exception as error:
                    errors.append(error)
                    del self._taps[kind]  # it may still be signalled, and is closed later
            thread = self._end()
        if thread is not None:
            thread.join(JOIN_TIMEOUT_S)  # it only has to wake up
        raise_first(errors)

    def _end(self) -> threading.Thread | None:
        """Tell the thread to end; return it if it is to be waited for."""
        if self._wake is None:
            return None
        if self._thread is None:
            self._wake.close()
            return None
        self._wake.signal()
        return None if self._is_calling else self._thread

    def _require_open(self) -> None:
        if self._state == "forked":
            raise ForkedObject(
                f"{self._irqs.name} belongs to the parent process",
                hint="Open the device in the child",
            )
        if self._state != "open":
            raise Closed(f"{self._irqs.name} is closed", hint="Open the device again")

    def _after_fork(self) -> None:
        """In the child there is no thread, and the events are the parent's."""
        self._lock = threading.RLock()
        self._state = "forked"
