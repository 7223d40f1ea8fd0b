"""Know what the s390x tier needs on this machine, and fetch it.

``python -m tests.s390x.needs`` names what is missing; ``--install`` installs the cross compiler,
qemu-user and a native QEMU's libraries (root, apt-get), and unpacks the rest into the cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.arch.architectures import ARCHITECTURES
from tests.arch.python import PYTHON, ensure_python
from tests.debian import RECORD, PackagesUnavailable
from tests.needs import Need, command_line, install, missing
from tests.s390x import machine

SETS = (machine.QEMU, machine.KERNEL, machine.BUSYBOX, PYTHON)

# qemu-system-x86 brings the libraries that the unpacked QEMU is linked with.
INSTALLED = (
    *ARCHITECTURES["s390x"].needs,
    Need("qemu-system-x86", command="qemu-system-x86_64"),
    Need("util-linux", command="setpriv"),
)


def reason_not_ready() -> str | None:
    """Say in one line why no s390x guest can be started here, None if one can."""
    if lacking := missing(INSTALLED):
        return f"s390x needs {command_line(lacking)}"
    absent = [wanted.name for wanted in SETS if not (wanted.folder / RECORD).exists()]
    if absent:
        return f"s390x needs {', '.join(absent)}: python -m tests.s390x.needs --install"
    return None


def main() -> int:
    """Report or fetch; status 1 when something is missing afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.s390x.needs", description=__doc__)
    parser.add_argument("--install", action="store_true", help="fetch what is missing")
    options = parser.parse_args()
    if options.install:
        try:
            install(missing(INSTALLED), "s390x")
            machine.ensure_qemu()
            machine.ensure_kernel()
            machine.ensure_busybox()
            ensure_python()
        except (
            PackagesUnavailable,
            PermissionError,
            RuntimeError,
            TimeoutError,
            subprocess.SubprocessError,
        ) as error:
            print(f"s390x: {error}", file=sys.stderr)
            return 1
    reason = reason_not_ready()
    print(f"s390x: {reason or 'nothing is missing'}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
