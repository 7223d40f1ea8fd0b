"""Steps that give something back: all are made, even where one fails or one never returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pymmio.bounded import BoundedCall
from pymmio.errors import BufferBusy, DeviceGone, DeviceTimeout, PymmioError

__all__ = ["Step", "TearDown"]


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done, and how messages call it (``unmapping BAR0``)."""

    what: str
    do: Callable[[], object]


class TearDown:
    """Makes each step once, in order, in a thread that may be left behind.

    A step that raises BufferBusy is left over, and made again by the next :meth:`run`.
    """

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self._name = name
        self._left = list(steps)
        self._now = ""
        self._call: BoundedCall[None] | None = None
        self._lock = threading.Lock()

    def run(self, timeout_s: float) -> None:
        """Make the steps that are left, wait for those that another thread makes.

        Raises the first failure, or the root cause, with the others as its notes, once;
        DeviceTimeout if they are not done after ``timeout_s``, then they go on in the
        background.  Does nothing in a step of its own.
        """
        with self._lock:
            call = self._call
            is_ours = call is None or call.is_over
            if is_ours:
                if not self._left:
                    return
                call = self._call = BoundedCall(self._make, name=f"pymmio close {self._name}")
        assert call is not None
        if threading.current_thread() is call.thread:
            return
        if not call.wait(timeout_s):
            raise DeviceTimeout(
                f"{self._name} is not closed after {timeout_s:g} s: the kernel has not come back "
                f"from {self._now}",
                hint="Closing goes on in the background; see the kernel's log. The process may "
                "linger when it ends",
            )
        if is_ours:
            call.result()

    def _make(self) -> None:
        steps, self._left = self._left, []
        errors: list[Exception] = []
        for step in steps:
            self._now = step.what
            try:
                step.do()
            except DeviceGone:
                continue  # nothing is left to be switched off
            except (PymmioError, OSError, BufferError) as error:
                if isinstance(error, BufferBusy):
                    self._left.append(step)
                errors.append(error)
        if errors:
            told = min(errors, key=lambda one: not getattr(one, "is_root_cause", False))
            for other in errors:
                if other is not told:
                    told.add_note(f"then, while closing {self._name}: {other}")
            raise told
