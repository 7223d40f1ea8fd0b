"""A QEMU newer than the system's, unpacked into the cache with everything that it needs.

``python -m tests.newer_qemu`` fetches it and prints the program's path.  It has ``vfio-user-pci``
(QEMU 10.1), which no released Debian has; nothing is installed.  The programs are wrappers that
run QEMU by its own dynamic loader, libraries, modules and firmware, so they run on any Linux of
this architecture.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.debian import RECORD, Apt, PackageSet, PackagesUnavailable, ensure

OLDEST = (10, 1)  # the first with vfio-user-pci
SYSTEMS = ("x86_64", "s390x")
QEMU = PackageSet(
    name="qemu-newer",
    architecture="amd64",
    suites=("trixie-backports trixie", "forky", "sid"),
    packages=("qemu-system-x86", "qemu-system-s390x", "seabios"),
    has_dependencies=True,
)

# The paths stand in no file: the folder is renamed when it is complete.
_WRAPPER = """\
#!/bin/sh
root=${{0%/*}}
exec "$root/{loader}" --library-path "$root/{libraries}" "$root/usr/bin/{name}" "$@"
"""


def program(system: str = "x86_64") -> Path:
    """Return the program for ``system``, which is there only after ``ensure_qemu``."""
    return QEMU.folder / f"qemu-system-{system}"


def is_there() -> bool:
    """Whether ``ensure_qemu`` has nothing to fetch."""
    return (QEMU.folder / RECORD).exists()


def ensure_qemu() -> Path:
    """Return the folder of the programs, fetching them if the cache has none.

    Raises PackagesUnavailable.
    """
    return ensure(QEMU, select=_new_enough, finish=_arrange)


def _new_enough(apt: Apt) -> tuple[str, ...]:
    policy = apt.cache("policy", QEMU.packages[0])
    version = re.search(r"Candidate: (?:\d+:)?(\d+)\.(\d+)", policy)
    if version is None:
        raise PackagesUnavailable(f"it has no {QEMU.packages[0]}")
    if (int(version[1]), int(version[2])) < OLDEST:
        raise PackagesUnavailable(f"its QEMU is {version[1]}.{version[2]}, wanted {OLDEST}")
    return QEMU.packages


def _arrange(root: Path) -> None:
    """Write the wrappers, and make QEMU look for modules and firmware in ``root``.

    QEMU takes every path of its configuration from a folder ``qemu-bundle`` beside the running
    program, which here is the dynamic loader, if there is one (QEMU util/cutils.c,
    get_relocated_path).  Without it the host's modules are loaded, which ends QEMU.
    """
    loader = (root / "usr/lib64/ld-linux-x86-64.so.2").resolve()
    bundle = loader.parent / "qemu-bundle"
    bundle.mkdir()
    (bundle / "usr").symlink_to(Path(*[".."] * len(bundle.relative_to(root / "usr").parts)))
    for system in SYSTEMS:
        name = f"qemu-system-{system}"
        text = _WRAPPER.format(
            loader=loader.relative_to(root), libraries=loader.parent.relative_to(root), name=name
        )
        (root / name).write_text(text)
        (root / name).chmod(0o755)


def main() -> int:
    """Print the program's path on stdout, or the reason why there is none on stderr."""
    try:
        ensure_qemu()
    except (PackagesUnavailable, TimeoutError, OSError, subprocess.SubprocessError) as error:
        print(f"newer qemu: {error}", file=sys.stderr)
        return 1
    print(program())
    return 0


if __name__ == "__main__":
    sys.exit(main())
