"""Fetch Debian's kernel source package without altering the system's package sources.

The mirror is whichever the machine's own apt uses. Other suites are read with a private sources
list and private apt state, both inside the work folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_TIMEOUT_S = 300.0

# (suite, package), best first; None is what the machine's own sources offer.
CANDIDATES: tuple[tuple[str | None, str], ...] = (
    ("bookworm-backports", "linux-source-6.12"),
    ("trixie", "linux-source-6.12"),
    (None, "linux-source-6.12"),
    (None, "linux-source-6.1"),
)


class SourceUnavailable(Exception):
    """No suite offers a kernel source package; each refusal is listed."""


@dataclass(frozen=True)
class Source:
    """A kernel source package that apt can fetch."""

    package: str
    version: str
    suite: str
    apt_options: tuple[str, ...]


def mirror_uris(index_targets: str) -> list[str]:
    """Return the package mirrors in ``RELEASE|URI`` lines of ``apt-get indextargets``, in order.

    Security archives are left out: they carry no other suites.
    """
    uris: list[str] = []
    for line in index_targets.splitlines():
        release, _, uri = line.partition("|")
        if uri and "security" not in release and "security" not in uri and uri not in uris:
            uris.append(uri)
    return uris


def candidate_version(policy: str) -> str | None:
    """Return the candidate's version in the output of ``apt-cache policy``, None if there is none.

    >>> candidate_version("x:\\n  Installed: (none)\\n  Candidate: 6.12.3-1\\n")
    '6.12.3-1'
    """
    for line in policy.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "Candidate" and value != "(none)":
            return value
    return None


def find_source(work: Path) -> Source:
    """Return the first candidate that apt can see; ``work`` receives the private apt state.

    Raises SourceUnavailable with the reason of each candidate.
    """
    refusals = []
    for suite, package in CANDIDATES:
        name = suite or "the system's sources"
        for options in option_sets(work, suite):
            try:
                if suite:
                    _output("apt-get", *options, "update", "--error-on=any")
                version = candidate_version(_output("apt-cache", *options, "policy", package))
            except (OSError, subprocess.SubprocessError) as error:
                refusals.append(f"{package} from {name}: {_reason(error)}")
                continue
            if version:
                return Source(package, version, suite or "system", tuple(options))
            refusals.append(f"{package} from {name}: not there")
    raise SourceUnavailable("no kernel source package found\n  " + "\n  ".join(refusals))


def download(source: Source, folder: Path) -> Path:
    """Fetch and unpack the package's files into ``folder``; return the source tarball."""
    wanted = f"{source.package}={source.version}"
    _output("apt-get", *source.apt_options, "download", wanted, cwd=folder)
    packages = list(folder.glob(f"{source.package}_*.deb"))
    if len(packages) != 1:
        raise SourceUnavailable(f"apt-get download left {len(packages)} packages, wanted one")
    _output("dpkg-deb", "--extract", str(packages[0]), str(folder / "package"))
    packages[0].unlink()
    tarballs = list((folder / "package/usr/src").glob("linux-source-*.tar.*"))
    if len(tarballs) != 1:
        raise SourceUnavailable(f"{packages[0].name} holds {len(tarballs)} tarballs, wanted one")
    return tarballs[0]


def option_sets(
    work: Path, suite: str | None, architecture: str | None = None
) -> Iterator[list[str]]:
    """Yield apt's options for ``suite``, once for each mirror; none for the system's sources.

    ``architecture`` (Debian's name) is another than this machine's; nothing counts as installed.
    """
    if suite is None:
        yield []
        return
    listing = _output(
        "apt-get", "indextargets", "--format", "$(RELEASE)|$(REPO_URI)", "Created-By: Packages"
    )
    signed_by = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    for number, uri in enumerate(mirror_uris(listing)):
        state = work / f"apt-{suite}-{number}"
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        (state / "sources.list").write_text(f"deb {signed_by}{uri} {suite} main\n")
        settings: dict[str, object] = {
            "Dir::State": state / "state",
            "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache",
            "Dir::Etc::sourcelist": state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Acquire::Languages": "none",
            # The private folders belong to the caller, not to apt's own download user.
            "APT::Sandbox::User": "",
        }
        if architecture is not None:
            settings |= {"APT::Architecture": architecture, "APT::Architectures::": architecture}
        yield [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _output(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, check=True, capture_output=True, text=True, timeout=APT_TIMEOUT_S
    )
    return done.stdout


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = str(error.stderr).strip().splitlines()
        return lines[-1] if lines else f"status {error.returncode}"
    return str(error)
