"""Run the tiers of tests one after the other and print the time of each.

``python -m tests.run [TIER ...]``; without names, all.  Ends with 1 if a tier failed, or was
skipped under CI=true.  A few tests that fail are run once more, alone, and the tier says how many
passed only then: the machines that this runs on are shared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent
IS_CI = os.environ.get("CI") == "true"
TESTS_FAILED = 1  # pytest's status
MOST_TRIED_AGAIN = 3
"""Tests of a tier that are run once more when they fail; more are no accident."""


def _pytest(*arguments: str) -> list[str]:
    return [PYTHON, "-m", "pytest", "-q", *arguments]


def _drivers_on(backend: str) -> list[str]:
    return [PYTHON, "-m", "tests.drivers.elsewhere", backend]


def _prepare_unit() -> str | None:
    """Install what some unit tests need; where it cannot be had only these are skipped."""
    subprocess.run([PYTHON, "-m", "tests.unit.needs", "--install"], cwd=ROOT)
    return None


def _prepare_qemu() -> str | None:
    """Install QEMU; fetch a newer one besides, without which its tests are skipped."""
    if subprocess.run([PYTHON, "-m", "tests.qemu.needs", "--install"], cwd=ROOT).returncode:
        return "python -m tests.qemu.needs --install failed, see above"
    subprocess.run([PYTHON, "-m", "tests.newer_qemu"], cwd=ROOT)
    return None


def _prepare_guest() -> str | None:
    """Install what the guest needs; return why it cannot run."""
    for step in (["tests.guest.needs", "--install"], ["tests.guest.kernel"]):
        if subprocess.run([PYTHON, "-m", *step], cwd=ROOT).returncode:
            return f"python -m {' '.join(step)} failed, see above"
    return None


def _prepare_vfio_user() -> str | None:
    """Fetch a QEMU with vfio-user-pci besides what the guest needs; return why it cannot run."""
    if subprocess.run([PYTHON, "-m", "tests.newer_qemu"], cwd=ROOT).returncode:
        return "python -m tests.newer_qemu failed, see above"
    return _prepare_guest() or _prepare_s390x()


def _prepare_arch() -> str | None:
    """Install cross compilers and qemu-user; return why they cannot be had."""
    if subprocess.run([PYTHON, "-m", "tests.arch.needs", "--install"], cwd=ROOT).returncode:
        return "python -m tests.arch.needs --install failed, see above"
    return None


def _prepare_s390x() -> str | None:
    """Fetch an s390x QEMU, kernel and Python into the cache; return why they cannot be had."""
    if subprocess.run([PYTHON, "-m", "tests.s390x.needs", "--install"], cwd=ROOT).returncode:
        return "python -m tests.s390x.needs --install failed, see above"
    return None


@dataclass(frozen=True)
class Tier:
    """A name, the commands that must succeed, and what to do before."""

    name: str
    commands: tuple[list[str], ...]
    prepare: Callable[[], str | None] = lambda: None
    deadline_s: int = 1800


SOURCES = ["pymmio", "drivers", "tests", "benchmarks", "docs", "setup.py"]
TIERS = (
    Tier(
        "check",
        (
            [str(BIN / "ruff"), "format", "--check", "-q", *SOURCES],
            [str(BIN / "ruff"), "check", "-q", *SOURCES],
            [str(BIN / "mypy")],
            [str(BIN / "lint-imports")],
        ),
    ),
    Tier("unit", (_pytest("tests/unit"),), _prepare_unit),
    Tier("property", (_pytest("tests/property"),)),
    Tier("contract", (_pytest("tests/contract"),)),
    Tier("drivers", (_pytest("tests/drivers"), _drivers_on("vfio-user"))),
    Tier("package", (_pytest("tests/package"),)),
    Tier(
        "docs",
        (
            [PYTHON, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", "docs/_build/html"],
            _pytest("tests/docs"),
        ),
    ),
    Tier("arch", (_pytest("tests/arch"),), _prepare_arch),
    Tier(
        "big-endian",
        (_pytest("tests/bigendian"), [PYTHON, "-m", "tests.bigendian.run"]),
        _prepare_arch,
    ),
    Tier("qemu", (_pytest("tests/qemu"), _drivers_on("qemu")), _prepare_qemu),
    Tier("guest", (_pytest("tests/guest"),), _prepare_guest, deadline_s=3600),
    Tier("vfio-user", (_pytest("tests/vfio_user"),), _prepare_vfio_user),
    Tier("s390x", (_pytest("tests/s390x"),), _prepare_s390x),
)


def _run(tier: Tier) -> str:
    """Return "passed", or why not."""
    if reason := tier.prepare():
        return f"skipped: {reason}"
    again = 0
    for command in tier.commands:
        try:
            done = subprocess.run(command, cwd=ROOT, timeout=tier.deadline_s)
        except subprocess.TimeoutExpired:
            return f"failed: {' '.join(command)} took more than {tier.deadline_s} s"
        if done.returncode:
            failed = failed_tests(command) if done.returncode == TESTS_FAILED else []
            if not 0 < len(failed) <= MOST_TRIED_AGAIN or not _pass_alone(failed, tier.deadline_s):
                return f"failed: {' '.join(command)} ended with {done.returncode}"
            again += len(failed)
    return f"passed, {again} at a second attempt" if again else "passed"


def failed_tests(command: Sequence[str], root: Path = ROOT) -> list[str]:
    """Return what failed in a run of pytest, as pytest itself remembers it."""
    if command[1:3] != ["-m", "pytest"]:
        return []
    try:
        names = json.loads((root / ".pytest_cache/v/cache/lastfailed").read_text())
    except (OSError, ValueError):
        return []
    folders = tuple(f"{argument}/" for argument in command[3:] if not argument.startswith("-"))
    return [name for name in names if name.startswith(folders) and "::" in name]


def _pass_alone(tests: Sequence[str], deadline_s: int) -> bool:
    """Run tests once more: what a busy machine did to them is not in them."""
    print(f"\n--- once more, alone: {' '.join(tests)}", flush=True)
    try:
        return not subprocess.run(_pytest(*tests), cwd=ROOT, timeout=deadline_s).returncode
    except subprocess.TimeoutExpired:
        return False


def main(names: list[str]) -> int:
    """Run the named tiers."""
    known = {tier.name: tier for tier in TIERS}
    if unknown := [name for name in names if name not in known]:
        print(f"no such tier: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    results: list[tuple[str, str, float]] = []
    for tier in [known[name] for name in names] or TIERS:
        print(f"=== {tier.name}", flush=True)
        start = time.monotonic()
        results.append((tier.name, _run(tier), time.monotonic() - start))
    print("\ntier        seconds  result")
    for name, result, seconds in results:
        print(f"{name:<10} {seconds:8.1f}  {result}")
    print(f"{'all':<10} {sum(seconds for *_, seconds in results):8.1f}")
    good = ("passed",) if IS_CI else ("passed", "skipped")
    bad = [result for _, result, _ in results if not result.startswith(good)]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
