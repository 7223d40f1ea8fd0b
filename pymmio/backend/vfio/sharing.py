"""Count the devices that use one address space, so that the last one takes it down."""

from __future__ import annotations

import threading

from pymmio.errors import Closed

__all__ = ["Shared"]


class Shared:
    """Counts the users of something; made with one.

    ``lock`` serialises those who come and go, and whoever looks at what they have in common.
    """

    def __init__(self, name: str) -> None:
        self.lock = threading.RLock()
        self._name = name
        self._users = 1

    @property
    def users(self) -> int:
        """How many there are now."""
        return self._users

    def join(self) -> None:
        """Count one user more.  Raises Closed where the last one has left."""
        with self.lock:
            if not self._users:
                raise Closed(f"{self._name} is closed", hint="Open the first device again")
            self._users += 1

    def leave(self) -> bool:
        """Count one user less and return whether it was the last; each calls it once."""
        with self.lock:
            self._users -= 1
            return not self._users

    def after_fork(self) -> None:
        """In a forked child: whoever held the lock may not exist there."""
        self.lock = threading.RLock()
