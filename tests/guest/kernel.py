"""Build the guest's kernel from Debian's source and a configuration fragment, once.

``python -m tests.guest.kernel`` prints the path of the image; it builds only when the cache has
none for the present fragment (``--newest`` also looks whether the distribution has newer source).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.guest import needs
from tests.guest.cache import (
    cache_root,
    digest,
    find_kernel,
    fragment_path,
    locked,
    publish,
    work_folder,
)
from tests.guest.process import Stopped, run_logged
from tests.guest.source import CANDIDATES, Source, SourceUnavailable, download, find_source

BUILD_TIMEOUT_S = 3600.0
IMAGES = {"x86_64": ("bzImage", "arch/x86/boot/bzImage")}
FALLBACK_PACKAGE = CANDIDATES[-1][1]


class KernelBuildError(Exception):
    """The kernel could not be built; the message ends with the log's place."""


def unhonoured(fragment: str, config: str) -> Iterator[str]:
    """Yield each line of ``fragment`` that the configuration ``config`` does not follow.

    >>> list(unhonoured("CONFIG_A=y\\nCONFIG_B=n\\n", "CONFIG_A=y\\nCONFIG_B=y\\n"))
    ['CONFIG_B=n']
    """
    lines = set(config.splitlines())
    for line in fragment.splitlines():
        name, is_setting, value = line.partition("=")
        if line.startswith("#") or not is_setting:
            continue
        if value == "n":
            honoured = not any(other.startswith(f"{name}=") for other in lines)
        else:
            honoured = line in lines
        if not honoured:
            yield line


def ensure_kernel(arch: str = "x86_64", newest: bool = False) -> Path:
    """Return the image of the guest kernel, building it if the cache has none.

    Raises KernelBuildError, SourceUnavailable, PermissionError (a package is missing and may not
    be installed) or TimeoutError (another build holds the lock for longer than a build may take).
    """
    with locked(f"kernel-{arch}", BUILD_TIMEOUT_S, lambda: _say("waiting for another build")):
        found = find_kernel(arch)
        if found and not newest:
            return found
        needs.install(needs.missing_to_build())
        with work_folder(f"kernel-{arch}") as work:
            return _build(arch, work)


def _build(arch: str, work: Path) -> Path:
    started = time.monotonic()
    fragment = fragment_path(arch).read_text()
    source = find_source(work)
    name = f"kernel-{arch}-{digest(source.version + fragment)}"
    image_name, image_path = IMAGES[arch]
    if (cache_root() / name / "build.json").exists():
        return cache_root() / name / image_name
    log = cache_root() / f"kernel-{arch}.log"
    log.write_text(f"{source.package} {source.version} from {source.suite}\n")
    deadline = started + BUILD_TIMEOUT_S

    _say(f"fetching {source.package} {source.version} from {source.suite}")
    tarball = download(source, work)
    try:
        run_logged(["tar", "-xf", str(tarball)], cwd=work, log=log, deadline=deadline)
        tree = tarball_tree(work)
        allconfig = work / "fragment"
        allconfig.write_text(fragment)
        jobs = len(os.sched_getaffinity(0))
        configure = ["make", f"KCONFIG_ALLCONFIG={allconfig}", "allnoconfig"]
        run_logged(configure, cwd=tree, log=log, deadline=deadline)
        _check_configuration(source, fragment, tree)
        _say(f"compiling with {jobs} jobs, about 4 minutes on 2 cores; log: {log}")
        progress = _Progress()
        run_logged(
            ["make", f"-j{jobs}", image_name],
            cwd=tree,
            log=log,
            deadline=deadline,
            on_line=progress.feed,
        )
    except Stopped as error:
        raise KernelBuildError(f"{error}\nlog: {log}") from error

    result = work / "result"
    result.mkdir()
    (tree / image_path).rename(result / image_name)
    (tree / ".config").rename(result / "config")
    facts = {
        "image": image_name,
        "source": f"{source.package} {source.version}",
        "suite": source.suite,
        "fragment": digest(fragment),
        "seconds": round(time.monotonic() - started),
    }
    (result / "build.json").write_text(json.dumps(facts, indent=1) + "\n")
    _say(f"built in {facts['seconds']} s")
    return publish(result, name) / image_name


def tarball_tree(work: Path) -> Path:
    """Return the one source folder that was unpacked into ``work``."""
    trees = list(work.glob("linux-source-*/Kconfig"))
    if len(trees) != 1:
        raise KernelBuildError(f"the tarball holds {len(trees)} kernel trees, wanted one")
    return trees[0].parent


def _check_configuration(source: Source, fragment: str, tree: Path) -> None:
    """Raise unless every line is honoured; the oldest source may lack whole options."""
    missing = list(unhonoured(fragment, (tree / ".config").read_text()))
    if source.package == FALLBACK_PACKAGE:
        known = _known_options(tree)
        absent = [line for line in missing if line.partition("=")[0] not in known]
        if absent:
            _say(f"{source.package} does not have: {' '.join(absent)}")
        missing = [line for line in missing if line not in absent]
    if missing:
        raise KernelBuildError(
            f"{source.package} {source.version} does not honour {' '.join(missing)}: a dependency"
            " is missing in the fragment"
        )


def _known_options(tree: Path) -> set[str]:
    """Return the names of all options that any Kconfig file of the tree declares."""
    names: set[str] = set()
    for path in tree.rglob("Kconfig*"):
        text = path.read_text(errors="replace") if path.is_file() else ""
        names.update(re.findall(r"^\s*(?:menu)?config (\w+)", text, re.MULTILINE))
    return {f"CONFIG_{name}" for name in names}


class _Progress:
    """Count make's compile lines and say so, at once on a terminal, else twice a minute."""

    def __init__(self) -> None:
        self._objects = 0
        self._started = time.monotonic()
        self._next = 0.0
        self._tty = sys.stderr.isatty()

    def feed(self, line: str) -> None:
        if not line.startswith(("  CC ", "  AS ")):
            return
        self._objects += 1
        elapsed = time.monotonic() - self._started
        if elapsed < self._next:
            return
        self._next = elapsed + (0.5 if self._tty else 30.0)
        text = f"guest kernel: {self._objects} objects of about 1450, {elapsed:.0f} s"
        print(text, end="\r" if self._tty else "\n", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(f"guest kernel: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Print the image's path on stdout, or the reason why there is none on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest.kernel", description=__doc__)
    parser.add_argument("--arch", default="x86_64", choices=sorted(IMAGES))
    parser.add_argument("--newest", action="store_true", help="build again for newer source")
    options = parser.parse_args()
    try:
        print(ensure_kernel(options.arch, options.newest))
    except (
        KernelBuildError,
        SourceUnavailable,
        PermissionError,
        RuntimeError,
        TimeoutError,
        subprocess.SubprocessError,
    ) as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
