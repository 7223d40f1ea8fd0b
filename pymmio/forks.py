"""Tell objects that they woke up in a forked child.

A child process inherits descriptors and mappings of its parent, but the device belongs to
the parent.  Objects that own a piece of a device register here; in the child each of them is
told once, turns itself off, and raises :class:`~pymmio.errors.ForkedObject` when it is used.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["Forkable", "track"]


class Forkable(Protocol):
    """An object that must not act for its parent process after fork."""

    def _after_fork(self) -> None:
        """Turn off: release nothing, call no backend, replace locks.  Runs in the child.

        Locks may be held by threads that do not exist in the child, so none may be taken.
        """
        ...


_tracked: WeakSet[Forkable] = WeakSet()


def track(thing: Forkable) -> None:
    """Have ``thing._after_fork()`` called in every forked child, as long as ``thing`` lives."""
    _tracked.add(thing)


def _in_child() -> None:
    errors: list[Exception] = []
    for thing in list(_tracked):
        try:
            thing._after_fork()
        except Exception as error:  # the others must still be told
            errors.append(error)
    if errors:
        raise ExceptionGroup("objects that could not be turned off after fork", errors)


os.register_at_fork(after_in_child=_in_child)
