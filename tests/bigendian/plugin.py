"""A pytest plugin of the big-endian run: what is left out, each with its reason.

``LEFT_OUT`` names folders, files or single tests (without their parameters).  Whatever is not
named here runs; a name that matches nothing is an error, so that the list cannot rot.
"""

from __future__ import annotations

import os
import sys

import pytest

from pymmio.handle import Access
from pymmio.mmio import Mapping
from tests.bigendian.mio import Emulator

LEFT_OUT: dict[str, str] = {}

_PLAIN = "a view, or the access= of plain memory: refused in this way, as a test of its own says"
LEFT_OUT_OF_WAYS: dict[str, str] = {}
FORCED_WAY = os.environ.get("FORCED_WAY")
OPERATIONS = {"mio": {"PCILGI", "PCISTGI"}, "syscall": {"353", "352"}}


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run where the run would prove nothing."""
    if sys.byteorder != "big":
        raise pytest.UsageError("this is no big-endian Python: use python -m tests.bigendian.run")
    if FORCED_WAY:
        for function in (Mapping.__init__, Mapping.of_file.__func__):  # type: ignore[attr-defined]
            function.__kwdefaults__["access"] = Access(FORCED_WAY)  # type: ignore[index]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run whose accesses were not made in the way that it is about."""
    if not FORCED_WAY:
        return
    seen = {name for name, _ in Emulator().before}
    other = "syscall" if FORCED_WAY == "mio" else "mio"
    if not seen >= OPERATIONS[FORCED_WAY] or seen & OPERATIONS[other]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was executed."""
    if FORCED_WAY:
        terminalreporter.write_line(f"executed: {dict(sorted(Emulator().before.items()))}")


def _reason(item: pytest.Item) -> str | None:
    name = item.nodeid.split("[", 1)[0]
    for prefix, reason in (LEFT_OUT | (LEFT_OUT_OF_WAYS if FORCED_WAY else {})).items():
        if name == prefix or name.startswith((prefix + "/", prefix + "::")):
            return reason
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is named."""
    left_out = [item for item in items if _reason(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _reason(item)]
