"""Run a function in a forked child, for tests of what a child may do."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

DEADLINE_S = 60


def in_forked_child(function: Callable[[], object]) -> None:
    """Fail unless ``function`` returns without an exception in a forked child, in time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(DEADLINE_S)
            os.close(reading)
            function()
            code = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as report:
        text = report.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"status {status} of the forked child\n{text}"
