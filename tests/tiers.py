"""The tiers of tests: what each runs, what it needs, how much of the machine it takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bigendian import SUITE

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent


@dataclass(frozen=True)
class Step:
    """A command that must succeed; with ``tests`` it is pytest, or takes pytest's arguments."""

    command: tuple[str, ...]
    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tier:
    """A name, the steps that must succeed, and what to do before.

    ``prepare`` installs and builds, and returns why the tier cannot run, or None.  ``seconds``
    is about how long it takes alone, ``cores`` how many processors it keeps busy then: tiers
    that fit run side by side.
    """

    name: str
    steps: tuple[Step, ...]
    prepare: Callable[[], str | None] | None = None
    seconds: int = 10
    cores: float = 1.0
    deadline_s: int = 1800


def _run(*command: str | Path) -> Step:
    return Step(tuple(map(str, command)))


def _pytest(*tests: str) -> Step:
    return Step((PYTHON, "-m", "pytest", "-q"), tests)


def _drivers_on(backend: str) -> Step:
    return Step((PYTHON, "-m", "tests.drivers.elsewhere", backend), ("tests/drivers",))


def _does(module: str, *arguments: str) -> bool:
    return not subprocess.run([PYTHON, "-m", module, *arguments], cwd=ROOT).returncode


def _first_failing(*steps: tuple[str, ...]) -> str | None:
    for step in steps:
        if not _does(*step):
            return f"python -m {' '.join(step)} failed, see above"
    return None


def _prepare_unit() -> str | None:
    """Install what some unit tests need; where it cannot be had only these are skipped."""
    _does("tests.unit.needs", "--install")
    return None


def _prepare_qemu() -> str | None:
    """Install QEMU; fetch a newer one besides, without which its tests are skipped."""
    reason = _first_failing(("tests.qemu.needs", "--install"))
    if reason is None:
        _does("tests.newer_qemu")
    return reason


def _prepare_guest() -> str | None:
    """Install what the guest needs, build its kernel."""
    return _first_failing(("tests.guest.needs", "--install"), ("tests.guest.kernel",))


def _prepare_vfio_user() -> str | None:
    """Fetch a QEMU with vfio-user-pci besides what the guests need."""
    return _first_failing(("tests.newer_qemu",)) or _prepare_guest() or _prepare_s390x()


def _prepare_arch() -> str | None:
    """Install cross compilers and qemu-user."""
    return _first_failing(("tests.arch.needs", "--install"))


def _prepare_big_endian() -> str | None:
    """Install what building and emulating needs, and what the unit tests need."""
    _prepare_unit()
    return _prepare_arch()


def _prepare_s390x() -> str | None:
    """Fetch an s390x QEMU, kernel and Python into the cache."""
    return _first_failing(("tests.s390x.needs", "--install"))


_SOURCES = ("pymmio", "drivers", "tests", "benchmarks", "docs", "setup.py")
TIERS = (
    Tier(
        "check",
        (
            _run(BIN / "ruff", "format", "--check", "-q", *_SOURCES),
            _run(BIN / "ruff", "check", "-q", *_SOURCES),
            _run(BIN / "mypy"),
            _run(BIN / "lint-imports"),
        ),
    ),
    Tier("unit", (_pytest("tests/unit"),), _prepare_unit, seconds=110, cores=0.8),
    Tier("property", (_pytest("tests/property"),), seconds=55, cores=0.8),
    Tier("contract", (_pytest("tests/contract"),), seconds=110, cores=0.3),
    Tier("drivers", (_pytest("tests/drivers"), _drivers_on("vfio-user")), seconds=100, cores=0.3),
    Tier("package", (_pytest("tests/package"),)),
    Tier(
        "docs",
        (
            _run(PYTHON, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", "docs/_build/html"),
            _pytest("tests/docs"),
        ),
        seconds=50,
        cores=0.8,
    ),
    Tier("arch", (_pytest("tests/arch"),), _prepare_arch, seconds=80, cores=0.8),
    Tier(
        "big-endian",
        (_pytest("tests/bigendian"), Step((PYTHON, "-m", "tests.bigendian.run"), SUITE)),
        _prepare_big_endian,
        seconds=460,
        cores=1.7,
    ),
    Tier(
        "qemu", (_pytest("tests/qemu"), _drivers_on("qemu")), _prepare_qemu, seconds=200, cores=0.5
    ),
    Tier(
        "guest", (_pytest("tests/guest"),), _prepare_guest, seconds=500, cores=1.2, deadline_s=3600
    ),
    Tier("vfio-user", (_pytest("tests/vfio_user"),), _prepare_vfio_user, seconds=65, cores=1.2),
    Tier("s390x", (_pytest("tests/s390x"),), _prepare_s390x, seconds=180, cores=1.7),
)
