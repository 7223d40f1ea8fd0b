"""File descriptors that came with a message: somebody must own each of them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pymmio.errors import ProtocolError
from pymmio.owner import Owner

__all__ = ["Descriptors"]


class Descriptors(Owner):
    """Received descriptors, closed with this object unless somebody takes them.

    Use it in a ``with`` statement around the handling of a message: what was not taken by the
    end, also by an exception, is closed.
    """

    __slots__ = ("_fds",)

    def __init__(self, fds: Iterable[int] = ()) -> None:
        self._fds = list(fds)

    def __len__(self) -> int:
        """Return how many came, taken or not."""
        return len(self._fds)

    def take(self, index: int) -> int:
        """Hand over descriptor ``index``; the caller closes it from now on.

        Raises ProtocolError where none came of that index, or it was taken before: a message
        that names one descriptor for two purposes uses :meth:`duplicate`.
        """
        fd = self._fd(index)
        self._fds[index] = -1
        return fd

    def duplicate(self, index: int) -> int:
        """Return a duplicate, which the caller closes; the original stays here."""
        return os.dup(self._fd(index))

    def _fd(self, index: int) -> int:
        if not 0 <= index < len(self._fds) or self._fds[index] < 0:
            raise ProtocolError(f"descriptor {index} was named, {len(self._fds)} came")
        return self._fds[index]

    def close(self) -> None:
        """Close what is left; again is fine."""
        while self._fds:
            fd = self._fds.pop()
            if fd >= 0:
                os.close(fd)
