"""Know what the qemu tier needs on this machine, and install it where that is possible.

``python -m tests.qemu.needs`` names what is missing; ``--install`` installs it with apt-get when
run as root, else prints the one line that would.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests import needs as packages
from tests.needs import Need, command_line, missing

__all__ = ["NEEDS", "reason_not_ready"]

NEEDS = (
    Need("qemu-system-x86", command="qemu-system-x86_64"),
    Need("util-linux", command="setpriv"),
)


def reason_not_ready() -> str | None:
    """Say in one line why no QEMU can be started here, None if one can."""
    needs = missing(NEEDS)
    if os.environ.get("PYMMIO_QEMU"):
        needs = [need for need in needs if not need.command.startswith("qemu")]
    return f"qemu tier needs {command_line(needs)}" if needs else None


def main() -> int:
    """Report or install; status 1 when something is missing afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.qemu.needs", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install what is missing")
    options = parser.parse_args()
    return packages.report_or_install(missing(NEEDS), "qemu", is_installing=options.install)


if __name__ == "__main__":
    sys.exit(main())
