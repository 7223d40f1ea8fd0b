"""A thread that waits for what QEMU does by itself: interrupts, and its end."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Sequence

from pymmio import forks
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.errors import PymmioError

__all__ = ["Relay"]

JOIN_TIMEOUT_S = 5.0


class Relay:
    """The pin, whose level comes as a message; MSI, whose eventfds are made once; the end.

    The pin behaves as with VFIO: an event masks it until :meth:`unmask`.  Whoever reads the channel
    delivers the pin; the thread reads it while nobody else does.  It starts at the first need.
    """

    def __init__(self, channel: QtestChannel, lines: frozenset[int], name: str) -> None:
        """``lines`` are the numbers of the interrupt lines that the pin may be wired to."""
        self._channel = channel
        self._lines = lines
        self._name = name
        self._lock = threading.Lock()  # nobody writes to an eventfd that was taken away
        self._sources: list[int] = []
        self._targets: tuple[int, ...] = ()
        self._pin: int = -1
        self._is_masked = False
        self._is_closed = False
        self._end = -1
        self._on_end: Callable[[], None] = lambda: None
        self._wake = -1
        self._thread: threading.Thread | None = None
        channel.on_line = self._line
        forks.track(self)

    # --- the pin -------------------------------------------------------------------------

    def set_pin(self, eventfd: int) -> None:
        """Deliver the pin here from now on, unmasked; -1: nowhere."""
        with self._lock:
            self._pin = eventfd
            self._is_masked = False
        self._notify(eventfd >= 0)

    def unmask(self) -> None:
        """Let the next event of the pin through."""
        with self._lock:
            self._is_masked = False
        self._notify(True)

    def fire(self) -> None:
        """Deliver the pin once, unless it is masked: it is asserted."""
        with self._lock:
            if self._pin >= 0 and not self._is_masked:
                self._is_masked = True
                _signal(self._pin, 1)

    def _line(self, line: int, level: bool) -> None:
        if level and line in self._lines:
            self.fire()

    # --- MSI -----------------------------------------------------------------------------

    def make_sources(self, count: int) -> Sequence[int]:
        """Return ``count`` eventfds of ours that QEMU signals; the same ones every time."""
        with self._lock:
            while len(self._sources) < count:
                self._sources.append(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            return tuple(self._sources[:count])

    def set_targets(self, eventfds: Sequence[int]) -> None:
        """Hand vector i on to ``eventfds[i]`` from now on; what came before is forgotten."""
        with self._lock:
            for source in self._sources:
                _take(source)
            self._targets = tuple(eventfds)
        self._notify(bool(eventfds))

    # --- the end of QEMU -----------------------------------------------------------------

    def watch(self, end: int, on_end: Callable[[], None]) -> None:
        """Call ``on_end`` once in the thread when ``end``, taken over, becomes readable."""
        with self._lock:
            former, self._end, self._on_end = self._end, end, on_end
        if former >= 0:
            os.close(former)
        self._notify(True)

    def stop_watching(self) -> None:
        """Its end is wanted from now on."""
        with self._lock:
            self._on_end = lambda: None

    # --- the thread ----------------------------------------------------------------------

    def _notify(self, is_needed: bool) -> None:
        """Have the thread look at what there is to wait for."""
        with self._lock:
            if self._is_closed:
                return
            if self._thread is None:
                if not is_needed:
                    return
                self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                name = f"pymmio interrupts of {self._name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
            _signal(self._wake, 1)

    def _run(self) -> None:
        is_connected, has_ended = True, False
        while True:
            with self._lock:
                if self._is_closed:
                    return
                wanted = [self._wake]
                if self._targets:
                    wanted += self._sources
                end = self._end
                if end >= 0 and not has_ended:
                    wanted.append(end)
                is_listening = is_connected and self._pin >= 0 and not self._is_masked
            poll = select.poll()
            for fd in wanted:
                poll.register(fd, select.POLLIN)
            if is_listening:
                poll.register(self._channel.fileno(), select.POLLIN)
            ready = {fd for fd, _ in poll.poll()}
            self._forward()
            if end in ready and not has_ended:
                has_ended = True
                with self._lock:
                    on_end = self._on_end
                on_end()
            if is_listening:
                try:
                    self._channel.take_lines()
                except (PymmioError, OSError):  # whoever uses the device is told
                    is_connected = False

    def _forward(self) -> None:
        with self._lock:
            if self._wake >= 0:
                _take(self._wake)
            for source, target in zip(self._sources, self._targets):
                if (count := _take(source)) and target >= 0:
                    _signal(target, count)

    def close(self) -> None:
        """End the thread and close our eventfds; calling twice is fine."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._pin, self._targets = -1, ()
            if self._wake >= 0:
                _signal(self._wake, 1)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_TIMEOUT_S)  # it only has to wake up
        self._close_own()

    def _close_own(self) -> None:
        own = [*self._sources, self._wake, self._end]
        self._sources, self._wake, self._end = [], -1, -1
        for fd in own:
            if fd >= 0:
                os.close(fd)

    def _after_fork(self) -> None:
        """The thread stayed in the parent."""
        self._lock = threading.Lock()
        if not self._is_closed:
            self._is_closed = True
            self._close_own()


def _signal(fd: int, count: int) -> None:
    with contextlib.suppress(BlockingIOError):  # the counter is full: signalled anyway
        os.eventfd_write(fd, count)


def _take(fd: int) -> int:
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0
