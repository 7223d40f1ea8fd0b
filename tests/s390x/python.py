"""A big-endian Python: Debian's s390x packages in a folder, run by qemu-user or in a guest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.debian import PackageSet, ensure, output, say

# What has machine code of its own: cffi's back-end, capstone's library, parts of Hypothesis's
# newer wheels; libudev is what pyudev loads.  click and rich: the command line in the guest.
PYTHON = PackageSet(
    name="debian-s390x",
    architecture="s390x",
    suites=("trixie",),
    packages=(
        *("python3", "python3-cffi", "python3-capstone", "python3-hypothesis"),
        *("python3-click", "python3-rich", "libudev1"),
    ),
    has_dependencies=True,
)
INTERPRETER = "usr/bin/python3"
_COMPILED = ("usr/lib/python3.13", "usr/lib/python3")
_COMPILE_TIMEOUT_S = 900.0


def ensure_python() -> Path:
    """Return the root that holds the interpreter, fetched and compiled if the cache has none.

    Raises PackagesUnavailable, subprocess.SubprocessError.
    """
    return ensure(PYTHON, finish=_compile)


def emulated(root: Path, *arguments: str) -> list[str]:
    """Return the command that runs the interpreter of ``root`` on this machine."""
    return ["qemu-s390x", "-L", str(root), str(root / INTERPRETER), *arguments]


def _compile(root: Path) -> None:
    """Compile the libraries: the packages have no bytecode, and the guest's root is read-only."""
    # Mount points of the guest, and of the project in it.
    for name in ("dev", "proc", "run", "sys", "tmp", "host", "project"):
        (root / name).mkdir(exist_ok=True)
    say("compiling the s390x Python's libraries, about a minute")
    command = emulated(
        root, "-m", "compileall", "-q", "-x", r"/(test|tests|idlelib|lib2to3)/", "-s", str(root)
    )
    folders = [str(root / name) for name in _COMPILED if (root / name).is_dir()]
    output(*command, *folders, timeout_s=_COMPILE_TIMEOUT_S)


def compile_tree(root: Path, folders: Sequence[Path]) -> None:
    """Compile the Python files below ``folders`` that changed, for the interpreter of ``root``.

    The bytecode lies beside that of this machine's Python, whose version is in its name.
    Raises subprocess.SubprocessError.
    """
    arguments = ["-m", "compileall", "-q", *map(str, folders)]
    output(*emulated(root, *arguments), timeout_s=_COMPILE_TIMEOUT_S)
