"""An interrupt handle that sees each interrupt before the program does."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from pymmio.handle import IrqHandle, IrqKind
from pymmio.irq.eventfd import EventFd
from pymmio.trace import EventSink, IrqEvent

__all__ = ["TracedIrq"]

_JOIN_S = 5.0


class TracedIrq:
    """An :class:`~pymmio.handle.IrqHandle` in front of another one.

    The backend signals eventfds of this object; a thread reads them, reports each interrupt,
    and signals the program's.  Where the sink is a recording the memory is brought in step
    before the program is told.
    """

    def __init__(self, inner: IrqHandle, sink: EventSink) -> None:
        self.inner = inner
        self.sink = sink
        self._targets: dict[tuple[IrqKind, int], tuple[EventFd, int]] = {}
        self._by_descriptor: dict[int, tuple[IrqKind, int]] = {}
        self._poll: select.epoll | None = None
        self._wake: EventFd | None = None
        self._thread: threading.Thread | None = None

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors of this kind the device has."""
        return self.inner.count(kind)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Have the backend signal this object, and hand that on to ``eventfds``."""
        with self.sink.lock:
            self._start()
            ours = []
            for vector, target in enumerate(eventfds):
                if target < 0:
                    self._drop(kind, vector)
                    ours.append(-1)
                else:
                    ours.append(self._own(kind, vector, target).fileno())
            self.inner.enable(kind, ours)
            for _, vector in [key for key in self._targets if key[0] is kind]:
                if vector >= len(eventfds):
                    self._drop(kind, vector)
            without = tuple(i for i, target in enumerate(eventfds) if target < 0)
            self._note("irq-on", kind, 0, len(eventfds), without)

    def disable(self, kind: IrqKind) -> None:
        """Switch a kind off; nobody is signalled any more when this returns."""
        with self.sink.lock:
            self.inner.disable(kind)
            for _, vector in [key for key in self._targets if key[0] is kind]:
                self._drop(kind, vector)
            self._note("irq-off", kind)

    def unmask_intx(self) -> None:
        """Let the next INTx through."""
        with self.sink.lock:
            self._note("unmask", IrqKind.INTX)
            self.inner.unmask_intx()

    def close(self) -> None:
        """End the thread."""
        with self.sink.lock:
            if self._wake is None or self._thread is None:
                return
            for kind, vector in list(self._targets):
                self._drop(kind, vector)
            self._wake.signal()
            thread = self._thread
        if thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _own(self, kind: IrqKind, vector: int, target: int) -> EventFd:
        assert self._poll is not None
        known = self._targets.get((kind, vector))
        own = EventFd() if known is None else known[0]
        self._targets[kind, vector] = own, target
        if known is None:
            self._by_descriptor[own.fileno()] = kind, vector
            self._poll.register(own.fileno(), select.EPOLLIN)
        return own

    def _drop(self, kind: IrqKind, vector: int) -> None:
        known = self._targets.pop((kind, vector), None)
        if known is not None:
            del self._by_descriptor[known[0].fileno()]
            assert self._poll is not None
            self._poll.unregister(known[0].fileno())
            known[0].close()

    def _start(self) -> None:
        if self._thread is not None:
            return
        self._poll = select.epoll()
        self._wake = EventFd()
        self._poll.register(self._wake.fileno(), select.EPOLLIN)
        name = "pymmio interrupts of a trace"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        assert self._poll is not None
        assert self._wake is not None
        try:
            while True:
                ready = self._poll.poll()
                with self.sink.lock:
                    for descriptor, _ in ready:
                        if descriptor == self._wake.fileno():
                            return
                        self._hand_on(descriptor)
        finally:
            self._poll.close()
            self._wake.close()

    def _hand_on(self, descriptor: int) -> None:
        key = self._by_descriptor.get(descriptor)
        if key is None:
            return  # switched off meanwhile
        own, target = self._targets[key]
        events = own.try_take()
        if events:
            self.sink.synchronise()
            self._note("irq", *key, events)
            with suppress(BlockingIOError):  # its counter is full: it is signalled anyway
                os.eventfd_write(target, events)

    def _note(
        self,
        what: str,
        kind: IrqKind,
        vector: int = 0,
        count: int = 1,
        without: tuple[int, ...] = (),
    ) -> None:
        self.sink.note(
            IrqEvent(
                time.monotonic_ns(),
                what,
                str(kind),
                vector,
                count,
                without,
                threading.get_native_id(),
            )
        )
