"""What comes late: calls at a later time or when asked for, and interrupts on their way."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from pymmio.handle import IrqKind

__all__ = ["Later"]

JOIN_S = 5.0


@dataclass(order=True)
class _Call:
    at: float
    number: int
    call: Callable[[], None] = field(compare=False)


@dataclass
class _Wire:
    """An eventfd that the backend signals, and the driver's that is signalled in its stead."""

    kind: IrqKind
    vector: int
    fd: int
    target: int


class Later:
    """A thread that makes calls at their time and hands interrupts on.  Starts when needed.

    ``on_irq`` is called with kind and vector of each interrupt that came and a function that
    delivers it.
    """

    def __init__(
        self, name: str, on_irq: Callable[[IrqKind, int, Callable[[], None]], None]
    ) -> None:
        self._name = name
        self._on_irq = on_irq
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._calls: list[_Call] = []
        self._held: list[Callable[[], None]] = []
        self._wires: dict[int, _Wire] = {}
        self._thread: threading.Thread | None = None
        self._epoll: select.epoll | None = None
        self._wake = -1
        self._is_closing = False

    # --- calls -------------------------------------------------------------------------------

    def call(self, delay_s: float | None, call: Callable[[], None]) -> None:
        """Make a call after ``delay_s`` seconds, None: at :meth:`release`."""
        with self._lock:
            if self._is_closing:
                return
            if delay_s is None:
                self._held.append(call)
                return
            self._start()
            at = time.monotonic() + delay_s
            heapq.heappush(self._calls, _Call(at, next(self._numbers), call))
            self._nudge()

    @property
    def pending(self) -> int:
        """How many calls are still to come."""
        with self._lock:
            return len(self._calls) + len(self._held)

    def release(self) -> int:
        """Make all calls now that are still to come, in their order; return how many."""
        with self._lock:
            calls = [*self._held, *(one.call for one in sorted(self._calls))]
            self._held, self._calls = [], []
        for call in calls:
            call()
        return len(calls)

    def forget(self) -> None:
        """Make none of the calls that are still to come."""
        with self._lock:
            self._held, self._calls = [], []

    # --- interrupts ----------------------------------------------------------------------------

    def wire(self, kind: IrqKind, targets: Sequence[int]) -> list[int]:
        """Return eventfds for the backend, one for each of ``targets``; -1 stays -1."""
        with self._lock:
            self._start()
            assert self._epoll is not None
            fds: list[int] = []
            with ExitStack() as undo:
                undo.callback(self.unwire, fds)
                for vector, target in enumerate(targets):
                    if target < 0:
                        fds.append(-1)
                        continue
                    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                    self._wires[fd] = _Wire(kind, vector, fd, target)
                    fds.append(fd)
                    self._epoll.register(fd, select.EPOLLIN)
                undo.pop_all()
            return fds

    def unwire(self, fds: Sequence[int]) -> None:
        """Hand nothing on from these any more; the driver's eventfds are free afterwards.

        What was signalled before is handed on first.
        """
        for fd in fds:
            self._hand_on(fd)
        with self._lock:
            for fd in fds:
                if self._wires.pop(fd, None) is not None:
                    assert self._epoll is not None
                    with suppress(FileNotFoundError):  # it could not be registered
                        self._epoll.unregister(fd)
                    os.close(fd)

    def _hand_on(self, fd: int) -> None:
        with self._lock:  # nobody takes the wire away while it is looked at
            wire = self._wires.get(fd)
            if wire is None:
                return
            try:
                events = os.eventfd_read(fd)
            except BlockingIOError:
                return
            for _ in range(events):
                self._on_irq(wire.kind, wire.vector, lambda: self._deliver(wire))

    def _deliver(self, wire: _Wire) -> None:
        with self._lock:
            if self._wires.get(wire.fd) is wire:
                with suppress(BlockingIOError):  # the counter is full: signalled anyway
                    os.eventfd_write(wire.target, 1)

    # --- the thread ------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is not None:
            return
        with ExitStack() as undo:
            epoll = select.epoll(flags=select.EPOLL_CLOEXEC)
            undo.callback(epoll.close)
            wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            undo.callback(os.close, wake)
            epoll.register(wake, select.EPOLLIN)
            self._epoll, self._wake = epoll, wake
            name = f"pymmio faults of {self._name}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            thread.start()
            self._thread = thread
            undo.pop_all()

    def _nudge(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        assert self._epoll is not None
        while not self._is_closing:
            for fd, _ in self._epoll.poll(self._next_s()):
                if fd == self._wake:
                    with suppress(BlockingIOError):
                        os.eventfd_read(fd)
                else:
                    self._hand_on(fd)
            while call := self._due():
                call()

    def _next_s(self) -> float | None:
        with self._lock:
            if not self._calls:
                return None
            return max(0.0, self._calls[0].at - time.monotonic())

    def _due(self) -> Callable[[], None] | None:
        with self._lock:
            if self._calls and self._calls[0].at <= time.monotonic():
                return heapq.heappop(self._calls).call
            return None

    def close(self) -> None:
        """End the thread; what has not come by now never comes."""
        with self._lock:
            if self._is_closing:
                return
            self._is_closing = True
            self._held, self._calls = [], []
            thread = self._thread
            if thread is not None:
                self._nudge()
        if thread is None:
            return
        thread.join(JOIN_S)
        self.unwire(list(self._wires))
        assert self._epoll is not None
        self._epoll.close()
        os.close(self._wake)
