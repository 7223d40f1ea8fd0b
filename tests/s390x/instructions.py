"""Run a workload with memory-I/O instructions, which the emulated machine does not have.

A preloaded handler executes each instruction by a real system call, and counts it
(tests/arch/mio/README.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.s390x.place import EMULATOR_PLACE

PROJECT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 200
LOAD, STORE, STORE_BLOCK = "PCILGI", "PCISTGI", "PCISTBI"
CALLS = ("352", "353")


def run_with_instructions(*arguments: str) -> Mapping[str, Mapping[str, int]]:
    """Run ``python -m tests.s390x.workload``; return how often each instruction ran, by width.

    Raises subprocess.CalledProcessError where the workload fails, AssertionError where it made
    system calls instead.
    """
    executed = run_preloaded(*arguments)
    assert not any(executed[call] for call in CALLS), executed
    return executed


def run_preloaded(*arguments: str) -> Mapping[str, Mapping[str, int]]:
    """Do the same for a workload that may make system calls, which are counted, too."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        environment = dict(
            os.environ,
            LD_PRELOAD=str(PROJECT / EMULATOR_PLACE),
            EMULATED_PRELOAD=str(PROJECT / EMULATOR_PLACE),  # tests.bigendian.mio
            MIO_BY="kernel",
            MIO_REPORT=str(report),
        )
        command = [sys.executable, "-m", "tests.s390x.workload", *arguments]
        subprocess.run(command, env=environment, check=True, timeout=TIMEOUT_S)
        (line,) = report.read_text().splitlines()
    executed: dict[str, dict[str, int]] = json.loads(line)
    return executed
