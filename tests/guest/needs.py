"""Know what the guest tier needs on this machine, and install it where that is possible.

``python -m tests.guest.needs`` names what is missing; ``--install`` installs it with apt-get when
run as root, else prints the one line that would.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests import needs as packages
from tests.guest.cache import find_kernel
from tests.needs import Need, command_line, missing

__all__ = ["Need", "install", "missing_to_build", "missing_to_run", "reason_not_ready"]

RUN = {
    "x86_64": (
        Need("qemu-system-x86", command="qemu-system-x86_64"),
        Need("busybox-static", command="busybox"),
        Need("util-linux", command="setpriv"),
        # Run inside the guest: what a device must not be taken away from.
        Need("dmsetup", command="dmsetup"),
        Need("e2fsprogs", command="mkfs.ext4"),
        Need("mount", command="swapon"),
    ),
}

# cpio is not needed: the initramfs is written by tests.guest.initramfs.
BUILD_KERNEL = (
    Need("bc", command="bc"),
    Need("flex", command="flex"),
    Need("bison", command="bison"),
    Need("gcc", command="gcc"),
    Need("libc6-dev", header="stdio.h"),
    Need("make", command="make"),
    Need("perl", command="perl"),
    Need("xz-utils", command="xz"),
    Need("lz4", command="lz4"),
    Need("libelf-dev", header="libelf.h"),
    Need("libssl-dev", header="openssl/ssl.h"),
)


def missing_to_run(arch: str = "x86_64") -> list[Need]:
    """Return what starting a guest of ``arch`` lacks, the kernel apart."""
    return missing(RUN[arch])


def missing_to_build() -> list[Need]:
    """Return what building a kernel lacks."""
    return missing(BUILD_KERNEL)


def reason_not_ready(arch: str = "x86_64") -> str | None:
    """Say in one line why no guest of ``arch`` can be started here, None if one can."""
    if arch == "s390x":
        from tests.s390x.needs import reason_not_ready as reason

        return reason()
    if arch.endswith("-newer"):
        from tests import newer_qemu

        lacking = None if newer_qemu.is_there() else "python -m tests.newer_qemu"
        return reason_not_ready(arch.removesuffix("-newer")) or (
            lacking and f"this guest needs a newer QEMU: {lacking}"
        )
    if needs := missing_to_run(arch):
        return f"guest tier needs {command_line(needs)}"
    if find_kernel(arch) is None:
        return f"guest tier needs its {arch} kernel: python -m tests.guest.kernel"
    return None


def install(needs: Sequence[Need]) -> None:
    """Install ``needs``; raises as tests.needs.install does."""
    packages.install(needs, "guest")


def main() -> int:
    """Report or install; status 1 when something is missing afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest.needs", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install what is missing")
    parser.add_argument("--arch", default="x86_64", choices=sorted(RUN))
    options = parser.parse_args()
    needs = missing_to_run(options.arch)
    if find_kernel(options.arch) is None:
        needs += missing_to_build()
    return packages.report_or_install(needs, "guest", is_installing=options.install)


if __name__ == "__main__":
    sys.exit(main())
