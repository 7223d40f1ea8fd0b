"""Know what the arch tier needs on this machine, and install it where that is possible.

``python -m tests.arch.needs`` names what is missing; ``--install`` installs it with apt-get when
run as root, else prints the one line that would.
"""

from __future__ import annotations

import argparse
import sys

from tests.arch.architectures import ARCHITECTURES
from tests.needs import Need, missing, report_or_install


def missing_to_run() -> list[Need]:
    """Return what building and running any of the architectures lacks, each package once."""
    lacking = {
        need.package: need for arch in ARCHITECTURES.values() for need in missing(arch.needs)
    }
    return list(lacking.values())


def main() -> int:
    """Report or install; status 1 when something is missing afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.arch.needs", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install what is missing")
    options = parser.parse_args()
    return report_or_install(missing_to_run(), "arch", is_installing=options.install)


if __name__ == "__main__":
    sys.exit(main())
