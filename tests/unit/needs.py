"""Know what some unit tests need on this machine, and install it where that is possible.

``python -m tests.unit.needs`` names what is missing; ``--install`` installs it with apt-get when
run as root, else prints the one line that would.  Without it those tests are skipped.
"""

from __future__ import annotations

import argparse
import platform
import sys

from tests.needs import Need, missing, report_or_install

NEEDS = (
    Need("linux-libc-dev", header="linux/vfio.h"),
    Need("strace", command="strace"),
    Need("bash", command="bash"),
    Need("zsh", command="zsh"),
    Need("fish", command="fish"),
    Need("qemu-user", command=f"qemu-{platform.machine()}"),
)


def main() -> int:
    """Report or install; status 1 when something is missing afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.unit.needs", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install what is missing")
    options = parser.parse_args()
    return report_or_install(missing(NEEDS), "unit", is_installing=options.install)


if __name__ == "__main__":
    sys.exit(main())
