"""Calls that may never come back, made where they cannot block the program.

A thread that waits inside the kernel can be neither interrupted nor ended.  So the call runs in
a daemon thread of its own, and whoever needs its result waits with a deadline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["BoundedCall"]

T = TypeVar("T")


class BoundedCall(Generic[T]):
    """A call that runs in a daemon thread from now on, for as long as it takes.

    The program goes on and may end while it runs.  (The kernel itself lets a process vanish only
    when its threads have come back; that delays the exit, not the program.)
    """

    def __init__(self, call: Callable[[], T], *, name: str) -> None:
        """``name`` is the thread's, for debuggers."""
        self._call = call
        self._value: T
        self._error: BaseException | None = None
        self._is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # it belongs to whoever asks for the result
            self._error = error
        finally:
            self._is_over.set()

    @property
    def is_over(self) -> bool:
        """Whether the call has come back."""
        return self._is_over.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the call has come back; return False if it has not after ``timeout_s``."""
        return self._is_over.wait(max(0.0, timeout_s))

    def result(self) -> T:
        """Return what the call returned, or raise what it raised; only when it is over."""
        if not self.is_over:
            raise RuntimeError("the call has not come back yet")
        if self._error is not None:
            raise self._error
        return self._value
