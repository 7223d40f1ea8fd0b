"""Debian's Python for s390x, unpacked into a folder: nothing is installed, nothing is run.

The packages are those that apt would install on an empty s390x machine.  They come from the
mirror that this machine's apt uses, through a private apt state (tests/guest/source.py).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.guest.cache import cache_root, digest, locked, publish, work_folder
from tests.guest.source import APT_TIMEOUT_S, option_sets

SUITE = "trixie"
ARCHITECTURE = "s390x"
# What has machine code of its own: cffi's back-end, capstone's library, parts of Hypothesis's
# newer wheels.
PACKAGES = ("python3", "python3-cffi", "python3-capstone", "python3-hypothesis")
RECIPE = 2  # counted up when what is done with the packages changes
LOCK_TIMEOUT_S = 600.0


class PythonUnavailable(Exception):
    """No mirror offers the packages; each refusal is listed."""


def unpacked_root() -> Path:
    """Return the folder that stands for the root of an s390x system; fetch it the first time.

    It is kept in the cache.  Raises PythonUnavailable with the reason of each mirror.
    """
    name = f"python-{ARCHITECTURE}-{digest(' '.join((SUITE, *PACKAGES, str(RECIPE))))}"
    with locked(name, LOCK_TIMEOUT_S):
        root = cache_root() / name / "root"
        if root.is_dir():
            return root
        with work_folder(name) as work:
            folder = work / "made"
            folder.mkdir()
            _unpack(_download(work), folder / "root")
            return publish(folder, name) / "root"


def _download(work: Path) -> list[Path]:
    """Fetch the packages and all that they depend on; return the files."""
    refusals = []
    for options in option_sets(work, SUITE, ARCHITECTURE):
        try:
            _run("apt-get", *options, "update", "--error-on=any")
            _run(
                "apt-get", *options, "install", "--yes", "--download-only",
                "--no-install-recommends", *PACKAGES,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
            refusals.append(lines[-1] if lines else type(error).__name__)
            continue
        return sorted(work.glob("apt-*/cache/archives/*.deb"))
    raise PythonUnavailable(
        f"{' '.join(PACKAGES)} for {ARCHITECTURE} cannot be had from {SUITE}\n  "
        + "\n  ".join(refusals)
    )


def _unpack(packages: list[Path], root: Path) -> None:
    if not packages:
        raise PythonUnavailable("apt-get fetched no package")
    root.mkdir()
    for package in packages:
        _run("dpkg-deb", "--extract", str(package), str(root))
    if not (root / "lib").exists():  # what base-files does at installation
        (root / "lib").symlink_to("usr/lib")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=APT_TIMEOUT_S)
