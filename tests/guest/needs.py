"""Know what the guest tier needs on this machine, and install it where that is possible.

``python -m tests.guest.needs`` names what is missing; ``--install`` installs it with apt-get when
run as root, else prints the one line that would.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.guest.cache import find_kernel

INSTALL_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Need:
    """A Debian package, and the command or the header whose presence shows that it is there."""

    package: str
    command: str = ""
    header: str = ""

    def is_present(self) -> bool:
        """Look for the command in PATH or the header where the system compiler looks."""
        if self.command:
            return shutil.which(self.command) is not None
        return (Path("/usr/include") / self.header).exists()


RUN = {
    "x86_64": (
        Need("qemu-system-x86", command="qemu-system-x86_64"),
        Need("busybox-static", command="busybox"),
        Need("util-linux", command="setpriv"),
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
    return [need for need in RUN[arch] if not need.is_present()]


def missing_to_build() -> list[Need]:
    """Return what building a kernel lacks."""
    return [need for need in BUILD_KERNEL if not need.is_present()]


def reason_not_ready(arch: str = "x86_64") -> str | None:
    """Say in one line why no guest of ``arch`` can be started here, None if one can."""
    missing = missing_to_run(arch)
    if missing:
        return f"guest tier needs {command_line(missing)}"
    if find_kernel(arch) is None:
        return f"guest tier needs its {arch} kernel: python -m tests.guest.kernel"
    return None


def command_line(needs: list[Need]) -> str:
    """Return the command that installs ``needs``."""
    return "apt-get install " + " ".join(need.package for need in needs)


def install(needs: list[Need]) -> None:
    """Install ``needs`` with apt-get.

    Raises PermissionError with the command to run when this user may not, RuntimeError with
    apt-get's last lines when it fails or when something is missing afterwards.
    """
    if not needs:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PermissionError(f"missing for the guest tests; as root: {command_line(needs)}")
    packages = [need.package for need in needs]
    print(f"guest: installing {' '.join(packages)}", file=sys.stderr, flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
        if done.returncode != 0 and arguments[0] == "install":
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise RuntimeError(f"apt-get {arguments[0]} failed\n{tail}")
    still_missing = [need.package for need in needs if not need.is_present()]
    if still_missing:
        raise RuntimeError(f"installed, but still not found: {' '.join(still_missing)}")


def main() -> int:
    """Report or install; status 1 when something is missing afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest.needs", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install what is missing")
    parser.add_argument("--arch", default="x86_64", choices=sorted(RUN))
    options = parser.parse_args()
    needs = missing_to_run(options.arch)
    if find_kernel(options.arch) is None:
        needs += missing_to_build()
    if not needs:
        print("guest: nothing is missing")
        return 0
    if not options.install:
        print(f"guest: missing; as root: {command_line(needs)}")
        return 1
    try:
        install(needs)
    except (PermissionError, RuntimeError) as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
