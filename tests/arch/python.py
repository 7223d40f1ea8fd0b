"""Debian's Python of another architecture in a folder: run by qemu-user, or in a guest.

The packages are those that apt would install on an empty machine; they are unpacked, nothing is
installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.arch.architectures import ARCHITECTURES, Architecture
from tests.debian import PackageSet, ensure, output, say

INTERPRETER = "usr/bin/python3"
# Of the guest, and of the project in it.
MOUNT_POINTS = ("dev", "proc", "run", "sys", "tmp", "host", "project")
_COMPILED = ("usr/lib/python3.13", "usr/lib/python3")
_COMPILE_TIMEOUT_S = 900.0


def packages(arch: Architecture) -> PackageSet:
    """Return what is unpacked for ``arch``."""
    return PackageSet(
        name=f"debian-{arch.name}",
        architecture=arch.debian,
        suites=("trixie",),
        # What has machine code of its own: cffi's back-end, capstone's library, parts of
        # Hypothesis's newer wheels; libudev is what pyudev loads.  click and rich: the command
        # line in the guest.
        packages=(
            *("python3", "python3-cffi", "python3-capstone", "python3-hypothesis"),
            *("python3-click", "python3-rich", "libudev1"),
        ),
        has_dependencies=True,
    )


PYTHON = packages(ARCHITECTURES["s390x"])
"""The one of the guest, and of the big-endian suite."""


def ensure_python(arch: Architecture = ARCHITECTURES["s390x"]) -> Path:
    """Return the root that holds the interpreter, fetched and compiled if the cache has none.

    Raises PackagesUnavailable, subprocess.SubprocessError.
    """
    return ensure(packages(arch), finish=lambda root: _compile(arch, root))


def emulated(arch: Architecture, root: Path, *arguments: str) -> list[str]:
    """Return the command that runs the interpreter of ``root`` on this machine."""
    return [f"qemu-{arch.name}", "-L", str(root), str(root / INTERPRETER), *arguments]


def _compile(arch: Architecture, root: Path) -> None:
    """Compile the libraries: the packages have no bytecode, and the guest's root is read-only."""
    for name in MOUNT_POINTS:
        (root / name).mkdir(exist_ok=True)
    say(f"compiling the libraries of Python for {arch.name}, up to a minute")
    options = ("-q", "-x", r"/(test|tests|idlelib|lib2to3)/", "-s", str(root))
    command = emulated(arch, root, "-m", "compileall", *options)
    folders = [str(root / name) for name in _COMPILED if (root / name).is_dir()]
    output(*command, *folders, timeout_s=_COMPILE_TIMEOUT_S)


def compile_tree(root: Path, folders: Sequence[Path]) -> None:
    """Compile the Python files below ``folders`` that changed, for the guest's interpreter.

    The bytecode lies beside that of this machine's Python, whose version is in its name.
    Raises subprocess.SubprocessError.
    """
    arguments = ["-m", "compileall", "-q", *map(str, folders)]
    output(*emulated(ARCHITECTURES["s390x"], root, *arguments), timeout_s=_COMPILE_TIMEOUT_S)
