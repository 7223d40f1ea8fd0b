"""Debian packages that a tier of tests needs: which are missing, and how they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALL_TIMEOUT_S = 900.0
_ROOTS_PATH = ("/usr/sbin", "/sbin")  # not in the PATH of users; the guest runs as root


@dataclass(frozen=True)
class Need:
    """A Debian package, and the command or the header whose presence shows that it is there."""

    package: str
    command: str = ""
    header: str = ""

    def is_present(self) -> bool:
        """Look for the command in PATH and root's, or the header below /usr/include."""
        if self.command:
            path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_ROOTS_PATH))
            return shutil.which(self.command, path=path) is not None
        return (Path("/usr/include") / self.header).exists()


def missing(needs: Iterable[Need]) -> list[Need]:
    """Return those of ``needs`` that are not there."""
    return [need for need in needs if not need.is_present()]


def command_line(needs: Iterable[Need]) -> str:
    """Return the command that installs ``needs``."""
    return "apt-get install " + " ".join(need.package for need in needs)


def install(needs: Sequence[Need], tier: str) -> None:
    """Install ``needs``, which are all missing, with apt-get; ``tier`` says what for.

    Raises PermissionError with the command to run when this user may not, RuntimeError with
    apt-get's last lines when it fails or when something is missing afterwards.
    """
    if not needs:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PermissionError(f"missing for the {tier} tests; as root: {command_line(needs)}")
    packages = [need.package for need in needs]
    print(f"{tier}: installing {' '.join(packages)}", file=sys.stderr, flush=True)
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
    if still := missing(needs):
        names = " ".join(need.package for need in still)
        raise RuntimeError(f"installed, but still not found: {names}")


def report_or_install(needs: Sequence[Need], tier: str, *, is_installing: bool) -> int:
    """Say what is missing or install it; return the exit status, 1 if something is missing."""
    if not needs:
        print(f"{tier}: nothing is missing")
        return 0
    if not is_installing:
        print(f"{tier}: missing; as root: {command_line(needs)}")
        return 1
    try:
        install(needs, tier)
    except (PermissionError, RuntimeError) as error:
        print(f"{tier}: {error}", file=sys.stderr)
        return 1
    return 0
