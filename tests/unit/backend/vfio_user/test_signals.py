"""Signal handlers that raise in the middle of a request leave the connection whole."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType

import pymmio
from pymmio.backend.vfio_user import channel
from pymmio.testing import served

HERE = str(Path(channel.__file__).parent)
ALARMS = 200
DEADLINE_S = 30.0
IDENTIFICATION = 0x010000ED


class Alarm(Exception):
    """Raised by a signal handler, as Ctrl-C does it."""


def test_requests_go_on_after_signals() -> None:
    alarms = 0

    def ring(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename.startswith(HERE):
            raise Alarm

    with served("edu") as uri, pymmio.open_device(uri) as device:
        bar = device.region(0)
        limit = time.monotonic() + DEADLINE_S
        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
            while alarms < ALARMS:
                assert time.monotonic() < limit
                try:
                    assert bar.read32(0) == IDENTIFICATION
                except Alarm:
                    alarms += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert bar.read32(0) == IDENTIFICATION
