"""Run the test suite under a big-endian Python: s390x, emulated by qemu-user.

``python -m tests.bigendian.run [PYTEST ARGUMENTS]``; without arguments, the whole of SUITE.
``python -m tests.bigendian.run --python ARGUMENTS`` runs that Python instead of pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.arch.build import BuildFailed
from tests.bigendian.packages import PythonUnavailable, unpacked_root
from tests.bigendian.stage import S390X, ForeignCode, make

SUITE = ("tests/unit", "tests/property", "tests/contract", "tests/drivers")
DEADLINE_S = 1500.0
PROCESSES = max(2, os.cpu_count() or 1)


def main(arguments: list[str]) -> int:
    """Return pytest's status, or 1 with the reason where it cannot run."""
    if reason := S390X.reason_not_ready():
        print(reason, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="pymmio-bigendian-") as scratch:
        try:
            python = make(unpacked_root(), Path(scratch))
        except (PythonUnavailable, BuildFailed, ForeignCode) as error:
            print(error, file=sys.stderr)
            return 1
    environment = dict(
        os.environ,
        HYPOTHESIS_PROFILE="emulated",
        PYTHONPATH="",
        PYTHONUNBUFFERED="1",
    )
    if arguments[:1] == ["--python"]:
        command = [str(python), *arguments[1:]]
    else:
        parallel = ["-n", str(PROCESSES), "--dist", "loadfile"]
        if "-n" in arguments or "-s" in arguments:
            parallel = []
        command = [
            *(str(python), "-m", "pytest", "-q", "-p", "tests.bigendian.plugin"),
            *("-p", "no:cacheprovider", *parallel, *(arguments or SUITE)),
        ]
    try:
        done = subprocess.run(
            command,
            cwd=python.parents[1] / "project",
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        print(f"the big-endian run took more than {DEADLINE_S:.0f} s", file=sys.stderr)
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
