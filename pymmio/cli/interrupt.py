"""Ctrl-C, at a moment that a device model survives.

A model in this process runs in the thread that makes the access.  KeyboardInterrupt in the
middle of it would be a device that forgets a command: the driver would then wait for its
time-out before it could shut the device down.  Real devices do not stop for signals either.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ctrl_c_spares_models"]

_RETRY_S = 0.001
_SPARED = (
    "pymmio.models.",
    "pymmio.backend.served.",
    "pymmio.backend.sim.",
    "pymmio.mmio.doorbell",
)


@contextmanager
def ctrl_c_spares_models() -> Iterator[None]:
    """Hold KeyboardInterrupt back while this thread is inside of a model, a millisecond each time.

    Changes nothing outside of the main thread, and where somebody else handles SIGINT.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    alarm = signal.signal(signal.SIGALRM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, now or in a moment."""
    if _is_in_model(frame):
        signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
    else:
        raise KeyboardInterrupt


def _is_in_model(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_SPARED):
            return True
        frame = frame.f_back
    return False
