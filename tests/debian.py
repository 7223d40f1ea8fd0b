"""Debian packages unpacked into the cache: of another architecture, or of another suite.

Nothing is installed and the system's package sources stay as they are: apt runs with private
state inside the cache, and reads the mirror that the machine's own configuration names.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.guest.cache import cache_root, digest, locked, publish, work_folder
from tests.guest.source import KEYRING, mirror_uris

APT_TIMEOUT_S = 900.0
RECORD = "packages.json"
_MERGED = ("bin", "sbin", "lib", "lib64")


class PackagesUnavailable(Exception):
    """No suite offers the packages; each refusal is listed."""


@dataclass(frozen=True)
class PackageSet:
    """Packages that are unpacked together.

    ``suites`` are tried in order, best first; a suite that builds on another names that one after
    it ("trixie-backports trixie").  ``has_dependencies`` unpacks everything that the packages
    depend on as well, so that the folder is a root that programs run in.
    """

    name: str
    architecture: str
    suites: tuple[str, ...]
    packages: tuple[str, ...]
    has_dependencies: bool = False

    @property
    def folder(self) -> Path:
        """Return the place in the cache, which is there only after ``ensure``."""
        return cache_root() / f"{self.name}-{digest(json.dumps(asdict(self)))}"


class Apt:
    """apt-get and apt-cache for one architecture and one suite, with state of their own.

    ``suite`` is as in ``PackageSet.suites``.
    """

    def __init__(self, state: Path, architecture: str, uri: str, suite: str) -> None:
        self.suite = suite
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        signed_by = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        (state / "sources.list").write_text(
            "".join(f"deb {signed_by}{uri} {part} main\n" for part in suite.split())
        )
        self.archives = state / "cache/archives"
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Default-Release": suite.split()[0],
            "Dir::State": state / "state",
            "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache",
            "Dir::Etc::sourcelist": state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Acquire::Languages": "none",
            # The private folders belong to the caller, not to apt's own download user.
            "APT::Sandbox::User": "",
        }
        self._options = [
            part for key, value in settings.items() for part in ("-o", f"{key}={value}")
        ]

    def get(self, *arguments: str) -> str:
        """Run apt-get; raises subprocess.SubprocessError."""
        return output("apt-get", *self._options, "--yes", *arguments, cwd=self.archives)

    def cache(self, *arguments: str) -> str:
        """Run apt-cache; raises subprocess.SubprocessError."""
        return output("apt-cache", *self._options, *arguments)

    def depends(self, package: str) -> list[str]:
        """Return the names that ``package`` depends on, alternatives and all."""
        return re.findall(r"^ *\|?Depends: ([^\s<]+)", self.cache("depends", package), re.MULTILINE)


Select = Callable[[Apt], Sequence[str]]
"""Names the packages that a suite offers for a set; raises PackagesUnavailable."""


def ensure(
    wanted: PackageSet,
    *,
    select: Select | None = None,
    finish: Callable[[Path], None] = lambda root: None,
) -> Path:
    """Return the folder with ``wanted`` unpacked, fetching it if the cache has none.

    ``select`` replaces the names in ``wanted.packages`` by those of the suite at hand; ``finish``
    completes the folder before it gets its place. Raises PackagesUnavailable.
    """
    with locked(wanted.name, APT_TIMEOUT_S, lambda: say(f"waiting for another {wanted.name}")):
        if (wanted.folder / RECORD).exists():
            return wanted.folder
        with work_folder(wanted.name) as work:
            return _fetch(wanted, work, select or (lambda apt: wanted.packages), finish)


def _fetch(wanted: PackageSet, work: Path, select: Select, finish: Callable[[Path], None]) -> Path:
    refusals: list[str] = []
    listing = output(
        "apt-get", "indextargets", "--format", "$(RELEASE)|$(REPO_URI)", "Created-By: Packages"
    )
    for suite in wanted.suites:
        for number, uri in enumerate(mirror_uris(listing)):
            apt = Apt(work / f"apt-{suite.split()[0]}-{number}", wanted.architecture, uri, suite)
            try:
                apt.get("update", "--error-on=any")
                names = select(apt)
                say(f"fetching {' '.join(names)} ({wanted.architecture}) from {suite}")
                if wanted.has_dependencies:
                    apt.get("install", "--download-only", "--no-install-recommends", *names)
                else:
                    apt.get("download", *names)
            except (PackagesUnavailable, OSError, subprocess.SubprocessError) as error:
                refusals.append(f"{suite}: {_reason(error)}")
                continue
            return _unpack(wanted, apt, work / "root", finish)
    raise PackagesUnavailable(f"{wanted.name} cannot be had\n  " + "\n  ".join(refusals))


def _unpack(wanted: PackageSet, apt: Apt, root: Path, finish: Callable[[Path], None]) -> Path:
    packages = sorted(apt.archives.glob("*.deb"))
    for package in packages:
        output("dpkg-deb", "--extract", str(package), str(root))
    for name in _MERGED:
        if not (root / name).exists() and (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")
    finish(root)
    facts = {"suite": apt.suite, "packages": [package.name for package in packages]}
    (root / RECORD).write_text(json.dumps(facts, indent=1) + "\n")
    return publish(root, wanted.folder.name)


def output(*command: str, cwd: Path | None = None, timeout_s: float = APT_TIMEOUT_S) -> str:
    """Return what ``command`` prints; raises subprocess.SubprocessError."""
    try:
        done = subprocess.run(
            command, cwd=cwd, check=True, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.CalledProcessError as error:
        error.add_note(
            "\n".join([*error.stdout.splitlines()[-5:], *error.stderr.splitlines()[-5:]])
        )
        raise
    return done.stdout


def say(text: str) -> None:
    """Print progress on stderr."""
    print(f"packages: {text}", file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in str(error.stderr).splitlines() if line.startswith("E:")]
        return lines[0] if lines else f"status {error.returncode}"
    return str(error)
