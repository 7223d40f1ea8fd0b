"""Fixtures of the arch tier: each architecture, its harness and its extensions, built once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.arch.architectures import ARCHITECTURES, Architecture
from tests.arch.build import build_emulator, build_extension, build_harness

DEADLINE_S = 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.arch)


def require(arch: Architecture) -> Architecture:
    """Skip with the reason where ``arch`` can be neither built nor run."""
    if reason := arch.reason_not_ready():
        pytest.skip(reason)
    return arch


@pytest.fixture(params=ARCHITECTURES)
def arch(request: pytest.FixtureRequest) -> Architecture:
    """Return each architecture in turn."""
    return require(ARCHITECTURES[request.param])


DEVICES = [(arch.name, way) for arch in ARCHITECTURES.values() for way in arch.ways]
FAULTING = [(name, way) for name, way in DEVICES if way != "syscall"]


def _named(param: tuple[str, str]) -> str:
    return param[0] if param[1] == "load" else "-".join(param)


@pytest.fixture(params=DEVICES, ids=_named)
def device(request: pytest.FixtureRequest) -> tuple[Architecture, str]:
    """Return each architecture and each way that its core has to device memory in turn."""
    name, way = request.param
    return require(ARCHITECTURES[name]), way


@pytest.fixture(params=FAULTING, ids=_named)
def faulting_device(request: pytest.FixtureRequest) -> tuple[Architecture, str]:
    """Return, as device, those whose accesses raise signals where nothing answers."""
    name, way = request.param
    return require(ARCHITECTURES[name]), way


@pytest.fixture
def s390x() -> Architecture:
    """Return the architecture whose PCI memory takes instructions or system calls of its own."""
    return require(ARCHITECTURES["s390x"])


@dataclass(frozen=True)
class Outcome:
    """What a run printed, and how it ended (negative: by that signal)."""

    lines: list[dict[str, Any]]
    status: int
    executed: dict[str, dict[str, int]]
    """How often the emulator executed each operation, by width; {} without it."""

    @property
    def only(self) -> dict[str, Any]:
        """The one line of a run that went well."""
        (line,) = self.good
        return line

    @property
    def good(self) -> list[dict[str, Any]]:
        """The lines of a run that reached its end."""
        assert self.status == 0
        assert self.lines[-1] == {"end": True}
        return self.lines[:-1]


@dataclass(frozen=True)
class Harness:
    """The harness program of one architecture; ``way`` is that of its mappings.

    ``emulator`` is there where the machine that runs it lacks the way.
    """

    arch: Architecture
    program: Path
    way: str = "load"
    emulator: Path | None = None

    def run(self, case: str, **settings: str) -> Outcome:
        """Run one case to its end; ``settings`` are variables of the emulator (mio/README.md)."""
        report = self.program.with_name("executed.json")
        report.unlink(missing_ok=True)
        variables = {}
        if self.emulator is not None:
            variables = {"LD_PRELOAD": self.emulator, "MIO_REPORT": report, **settings}
        done = subprocess.run(
            [*self.arch.runner_with(variables), str(self.program), case, self.way],
            cwd=self.program.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode not in (2, 3), f"{self.arch.name} {case}: {done.stderr}"
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        executed = json.loads(report.read_text()) if report.exists() else {}
        return Outcome(lines, done.returncode, executed)


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of everything that is built in this run."""
    return tmp_path_factory.mktemp("arch")


HarnessOf = Callable[..., Harness]


@pytest.fixture(scope="session")
def harness_of(build_folder: Path) -> HarnessOf:
    """Return a function that builds an architecture's harness and emulator, once."""
    programs: dict[str, Path] = {}
    emulators: dict[str, Path] = {}

    def of(arch: Architecture, way: str = "load", *, is_emulated: bool = True) -> Harness:
        if arch.name not in programs:
            programs[arch.name] = build_harness(arch, build_folder)
        if way == "load" or not is_emulated:
            return Harness(arch, programs[arch.name], way)
        if arch.name not in emulators:
            emulators[arch.name] = build_emulator(arch, build_folder)
        return Harness(arch, programs[arch.name], way, emulators[arch.name])

    return of


@pytest.fixture
def harness(request: pytest.FixtureRequest, harness_of: HarnessOf) -> Harness:
    """Return the harness of what the test runs for: an architecture, or a way of one."""
    for fixture in ("device", "faulting_device"):
        if fixture in request.fixturenames:
            arch, way = request.getfixturevalue(fixture)
            return harness_of(arch, way)
    return harness_of(request.getfixturevalue("arch"))


@pytest.fixture(scope="session")
def extension_of(build_folder: Path) -> Callable[[Architecture, str], Path]:
    """Return a function that builds an extension ("core", "engine") for an architecture, once."""
    built: dict[tuple[str, str], Path] = {}

    def of(arch: Architecture, name: str) -> Path:
        if (arch.name, name) not in built:
            built[arch.name, name] = build_extension(arch, name, build_folder)
        return built[arch.name, name]

    return of
