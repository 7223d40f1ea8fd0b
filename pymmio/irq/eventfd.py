"""A counter in the kernel that a backend raises and that can be waited for (eventfd(2))."""

from __future__ import annotations

import os
import select

from pymmio.errors import Closed, Unsupported
from pymmio.owner import Owner

__all__ = ["EventFd"]


class EventFd(Owner):
    """A non-blocking eventfd.  Owns its descriptor, which is closed on exec."""

    def __init__(self) -> None:
        try:
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError as error:
            raise Unsupported(
                f"cannot make an eventfd: {error.strerror}",
                hint="Raise the limit of open files (ulimit -n); each interrupt takes one",
            ) from error

    def fileno(self) -> int:
        """Return the descriptor, readable while events are counted.  Raises Closed."""
        if self._fd < 0:
            raise Closed("the eventfd is closed")
        return self._fd

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._fd < 0

    def signal(self, count: int = 1) -> None:
        """Add events to the counter, which is readable afterwards."""
        try:
            os.eventfd_write(self.fileno(), count)
        except BlockingIOError:
            return  # the counter is full, so it is readable; who waits is woken

    def wait_readable(self, timeout_s: float) -> bool:
        """Wait until events are counted; return False if none came within ``timeout_s``.

        Signal handlers of Python run meanwhile; an exception of theirs ends the wait.
        """
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def try_take(self) -> int:
        """Return how many events were counted and set the counter to 0; does not block."""
        try:
            return os.eventfd_read(self.fileno())
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close the descriptor; closing twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        return f"<EventFd {'closed' if self.closed else self._fd}>"
