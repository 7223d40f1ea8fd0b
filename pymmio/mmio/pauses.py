"""When accesses that are calls may meet a device that is being reset."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Pauses"]


class Pauses:
    """Times during which a device answers nothing, for regions without a mapping to pause.

    Nothing keeps a call from being made meanwhile; one that failed for that reason is made
    again when it is over.  ``count`` is odd during a pause.  Safe for threads.
    """

    def __init__(self) -> None:
        self.count = 0
        self._over = threading.Event()
        self._over.set()

    @contextmanager
    def during(self) -> Iterator[None]:
        """Say that the device answers nothing during the block; one at a time."""
        self._over.clear()
        self.count += 1
        try:
            yield
        finally:
            self.count += 1
            self._over.set()

    def passed(self, before: int) -> bool:
        """Tell whether a call since ``count`` was ``before`` may have met a pause.

        Returns when that pause is over.
        """
        if self.count == before and before % 2 == 0:
            return False
        self._over.wait()
        return True
