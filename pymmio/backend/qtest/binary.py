"""Find the QEMU program that emulates the machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

from pymmio.errors import Unsupported, UriError

__all__ = ["ENVIRONMENT", "PACKAGE", "find_qemu", "version_of"]

ENVIRONMENT = "PYMMIO_QEMU"
"""Environment variable with the program to use, where the URI names none."""

PACKAGE = "qemu-system-x86"
"""Debian's package of it; for hosts of whatever architecture."""

_VERSION_S = 10.0
_PROGRAMS = {"x86_64": "qemu-system-x86_64", "i686": "qemu-system-i386"}


def find_qemu(named: str | None) -> str:
    """Return the path of the program: ``named``, that of the environment, or of the search path.

    The machine is a PC on every host: its devices are what counts, no program runs in it.
    Raises UriError where the named one is no program, Unsupported where there is none.
    """
    for source, name in (("binary", named), (ENVIRONMENT, os.environ.get(ENVIRONMENT))):
        if name:
            found = shutil.which(name)
            if found is None:
                raise UriError(
                    f"{source}={name} is no program that can be run",
                    hint=f"Name a QEMU such as {_PROGRAMS['x86_64']}, by path or as in PATH",
                )
            return found
    first = _PROGRAMS.get(platform.machine(), _PROGRAMS["x86_64"])
    for program in dict.fromkeys((first, *_PROGRAMS.values())):
        if found := shutil.which(program):
            return found
    raise Unsupported(
        f"there is no {_PROGRAMS['x86_64']} in PATH",
        hint=f"As root: apt-get install {PACKAGE}; or name another one by binary=, or in the "
        f"environment as {ENVIRONMENT}",
    )


def version_of(program: str) -> str:
    """Return what a QEMU says of its version, such as ``QEMU emulator version 7.2.22 (...)``.

    Raises Unsupported where it says nothing within some seconds.
    """
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unsupported(f"{program} does not say its version: {error}") from error
    return done.stdout.partition("\n")[0].strip()
