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
from tests.arch.build import build_extension, build_harness

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


@pytest.fixture(params=[arch.name for arch in ARCHITECTURES.values() if arch.has_accessors])
def device_arch(request: pytest.FixtureRequest) -> Architecture:
    """Return each architecture that can access device memory in turn."""
    return require(ARCHITECTURES[request.param])


@pytest.fixture
def s390x() -> Architecture:
    """Return the architecture that has no accessors yet."""
    return require(ARCHITECTURES["s390x"])


@dataclass(frozen=True)
class Outcome:
    """What a run printed, and how it ended (negative: by that signal)."""

    lines: list[dict[str, Any]]
    status: int

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
    """The harness program of one architecture."""

    arch: Architecture
    program: Path

    def run(self, case: str) -> Outcome:
        """Run one case to its end."""
        done = subprocess.run(
            [*self.arch.runner, str(self.program), case],
            cwd=self.program.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode not in (2, 3), f"{self.arch.name} {case}: {done.stderr}"
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return Outcome(lines, done.returncode)


@pytest.fixture(scope="session")
def build_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of everything that is built in this run."""
    return tmp_path_factory.mktemp("arch")


@pytest.fixture(scope="session")
def harness_of(build_folder: Path) -> Callable[[Architecture], Harness]:
    """Return a function that builds an architecture's harness, once."""
    built: dict[str, Harness] = {}

    def of(arch: Architecture) -> Harness:
        if arch.name not in built:
            built[arch.name] = Harness(arch, build_harness(arch, build_folder))
        return built[arch.name]

    return of


@pytest.fixture
def harness(
    request: pytest.FixtureRequest, harness_of: Callable[[Architecture], Harness]
) -> Harness:
    """Return the harness of the architecture that the test runs for."""
    (name,) = {"arch", "device_arch", "s390x"} & set(request.fixturenames)
    return harness_of(request.getfixturevalue(name))


@pytest.fixture(scope="session")
def extension_of(build_folder: Path) -> Callable[[Architecture, str], Path]:
    """Return a function that builds an extension ("core", "engine") for an architecture, once."""
    built: dict[tuple[str, str], Path] = {}

    def of(arch: Architecture, name: str) -> Path:
        if (arch.name, name) not in built:
            built[arch.name, name] = build_extension(arch, name, build_folder)
        return built[arch.name, name]

    return of
