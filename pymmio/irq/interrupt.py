"""One interrupt vector: wait for it, ask for it, await it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator

from pymmio.errors import BadArgument, Closed, DeviceTimeout, ForkedObject, PymmioError
from pymmio.irq.asyncio_glue import AsyncWaiters
from pymmio.irq.eventfd import EventFd

__all__ = ["Interrupt"]

_PIECE_S = 0.1
"""Longest single wait: a signal that comes just before it is noticed after this time."""


class Interrupt:
    """One vector of a device, from ``device.irqs.msix[i]`` and its like.

    Events that come while nobody waits are counted, and returned by the next wait.  Each event
    is returned once: to one thread, or to all coroutines of one event loop that await it then.
    Interrupts may be spurious or stand for several completions: look at the device's state.

    INTx is masked each time that it fires, until somebody waits, awaits or asks again: quiet the
    device before that.  Safe for threads.
    """

    def __init__(
        self,
        name: str,
        *,
        unmask: Callable[[], None] | None = None,
        explain: Callable[[PymmioError], PymmioError] | None = None,
    ) -> None:
        """``explain`` is asked about each time-out and returns the exception to be raised."""
        self.name = name
        self._unmask = unmask
        self._explain = explain
        self._why: Callable[[], PymmioError] | None = None
        self._is_masked = False
        self._event = EventFd()
        self._lock = threading.Lock()
        self._waiters = 0
        self._is_closed = False
        self._is_forked = False
        self._awaiting = AsyncWaiters(self.try_take)

    @property
    def closed(self) -> bool:
        """Whether the vector was switched off, or belongs to the parent process."""
        return self._is_closed or self._is_forked

    def fileno(self) -> int:
        """Return a descriptor that is readable while events are counted, for poll and epoll.

        Take the events with ``try_take``; for INTx call ``unmask`` before polling again.
        """
        with self._lock:
            self._require_open()
            return self._event.fileno()

    def try_take(self) -> int:
        """Return the number of events since the last one was taken, at once; 0 if none came."""
        with self._lock:
            self._require_open()
            self._unmask_if_masked()
            events = self._event.try_take()
            if events and self._unmask is not None:
                self._is_masked = True
            return events

    def unmask(self) -> None:
        """Let the next INTx through; nothing happens for other kinds.

        Only needed with ``fileno``: ``wait``, ``await`` and ``try_take`` do it themselves.
        """
        with self._lock:
            self._require_open()
            self._unmask_if_masked()

    def wait(self, timeout_s: float) -> int:
        """Wait for events and return how many came since the last one was taken.

        Raises DeviceTimeout if none came, or DeviceGone where that is the reason; Closed when
        the vector is switched off meanwhile.
        """
        _require_timeout(timeout_s)
        deadline = time.monotonic() + timeout_s
        self._enter()
        try:
            while True:
                if events := self.try_take():
                    return events
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise self._timeout(timeout_s)
                self._event.wait_readable(min(left_s, _PIECE_S))
        finally:
            self._leave()

    async def wait_async(self, *, timeout_s: float | None = None) -> int:
        """Wait as ``wait`` does, in a coroutine; None waits until it is cancelled.

        No event is lost when it is cancelled: what it had got is counted again.
        """
        if timeout_s is not None:
            _require_timeout(timeout_s)
        if events := self.try_take():
            return events
        with self._lock:
            self._require_open()
            future = self._awaiting.join(self._event.fileno())
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            if _has_result(future):
                return future.result()
            error = self._timeout(timeout_s)
            raise error from error.__cause__
        except asyncio.CancelledError:
            if _has_result(future):
                self._put_back(future.result())
            raise
        finally:
            self._awaiting.leave(future)

    def __await__(self) -> Generator[object, None, int]:
        return self.wait_async().__await__()

    def _end(self, why: Callable[[], PymmioError] | None = None) -> None:
        """Wake all who wait with Closed, and refuse all use; the eventfd stays for the backend.

        ``why`` makes what is raised instead of Closed.  Only for the vector set, which calls
        ``_leave`` when the backend has stopped signalling; a second call does nothing.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._why = why
            self._waiters += 1
            self._event.signal()  # stays readable: who polls it or a duplicate wakes

    def _restore(self) -> None:
        """Undo ``_end`` with a reason: who waits from now on waits; the signal is taken back."""
        with self._lock:
            if not self._is_closed or self._why is None:
                return
            self._is_closed, self._is_masked, self._why = False, False, None
            self._waiters -= 1
            self._event.try_take()

    def _after_fork(self) -> None:
        """Refuse all use, in the child; the eventfd is shared with the parent, so leave it."""
        self._lock = threading.Lock()
        self._is_forked = True

    def _enter(self) -> None:
        with self._lock:
            self._require_open()
            self._waiters += 1

    def _leave(self) -> None:
        """Count one user less; after the end the last one closes the eventfd."""
        with self._lock:
            self._waiters -= 1
            if self._is_closed and not self._waiters:
                self._event.close()

    def _forward(self, events: int) -> None:
        """Count events that somebody else took from the backend."""
        self._put_back(events)

    def _put_back(self, events: int) -> None:
        with self._lock:
            if not self.closed:
                self._event.signal(events)

    def _unmask_if_masked(self) -> None:
        if self._is_masked and self._unmask is not None:
            self._unmask()
            self._is_masked = False

    def _require_open(self) -> None:
        if self._is_forked:
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device in the child"
            )
        if self._is_closed and self._why is not None:
            raise self._why()
        if self._is_closed:
            raise Closed(f"{self.name} is switched off", hint="Take it from device.irqs again")

    def _timeout(self, timeout_s: float | None) -> PymmioError:
        error = DeviceTimeout(
            f"{self.name}: no interrupt came within {timeout_s} s",
            hint="Check that the device may raise it and, for MSI and MSI-X, that bus mastering"
            " is on",
        )
        return error if self._explain is None else self._explain(error)

    def __repr__(self) -> str:
        return f"<Interrupt {self.name}{' closed' if self.closed else ''}>"


def _has_result(future: asyncio.Future[int]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _require_timeout(timeout_s: float) -> None:
    if not timeout_s >= 0:  # NaN too
        raise BadArgument(f"timeout_s={timeout_s} is not a time to wait", hint="Use seconds, >= 0")
