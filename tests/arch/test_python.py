"""Python of each other architecture, under qemu-user: regions, and the accesses recorded in it.

On s390x the emulator does not show what storage-to-storage instructions touch: what uses them is
unproven, and the core's accesses count because its table shows that they are none of them.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pymmio.check.accessors import emulator
from pymmio.check.accessors.dynamic import Case, judge_recorded, record_emulated
from pymmio.check.accessors.static import judge_table, open_object
from pymmio.check.accessors.subjects import SUBJECTS
from pymmio.check.accessors.verdict import Direction, Verdict
from tests.arch.architectures import ARCHITECTURES, Architecture
from tests.arch.conftest import require
from tests.arch.python import ensure_python
from tests.bigendian.run import PYTEST
from tests.bigendian.stage import make, name_of_stage
from tests.debian import PackagesUnavailable
from tests.guest.cache import locked

DEADLINE_S = 300.0
FOREIGN = [name for name, arch in ARCHITECTURES.items() if not arch.is_native]
WANTED = {
    "pymmio": Verdict.EXACT,
    "pymmio block": Verdict.EXACT,
    "byte by byte": Verdict.SPLIT,
    "twice": Verdict.REPEATED,
}
S390X_WANTED = {"glibc memcpy": Verdict.UNPROVEN}  # MVC
# What is there without a device; s390x runs everything in the tier big-endian.
SUITE = ("tests/unit/mmio", "tests/unit/test_refusals.py")


@dataclass(frozen=True)
class Foreign:
    """A Python with this project's extensions, of ``arch``; ``root`` is its system's."""

    arch: Architecture
    root: Path
    python: Path

    @property
    def project(self) -> Path:
        """The copy of the project that it sees."""
        return self.python.parents[1] / "project"


@pytest.fixture(scope="module", params=FOREIGN)
def foreign(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Foreign]:
    """Return each architecture's Python in turn."""
    arch = require(ARCHITECTURES[request.param])
    with locked(name_of_stage(arch), DEADLINE_S):
        try:
            root = ensure_python(arch)
        except PackagesUnavailable as error:
            pytest.skip(f"Python for {arch.name}: {error}")
        yield Foreign(arch, root, make(root, tmp_path_factory.mktemp("stage"), arch))


def test_regions_do_what_they_do_here(foreign: Foreign) -> None:
    done = subprocess.run(
        [str(foreign.python), *PYTEST, *SUITE],
        cwd=foreign.project,
        env=dict(os.environ, PYTHONPATH="", EMULATED_MACHINE=foreign.arch.name),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) > 300, done.stdout


def cases(wanted: Mapping[str, Verdict]) -> list[Case]:
    directions: tuple[Direction, ...] = ("read", "write")
    return [
        Case(subject.name, width, direction)
        for subject in SUBJECTS
        if subject.name in wanted
        for direction in directions
        for width in (1, 2, 4, 8)
        if width in subject.widths
    ]


def test_accesses_of_that_python(foreign: Foreign, tmp_path: Path) -> None:
    name = foreign.arch.name
    wanted = WANTED | (S390X_WANTED if name == "s390x" else {})
    command = emulator.emulator_for(name, is_complete=False)
    (interpreter,) = (foreign.root / "usr/bin").glob("python3.[0-9]*[0-9]")
    probe = ["-L", str(foreign.root), str(interpreter), "-I", "-c", ""]
    plugin = emulator.build_plugin(command, probe, tmp_path)
    observed = record_emulated(
        cases(wanted),
        [str(foreign.python)],
        plugin,
        tmp_path,
        deadline_s=DEADLINE_S,
        cwd=foreign.project,
    )
    for case, seen in zip(cases(wanted), observed, strict=True):
        judgement = judge_recorded(foreign.arch.machine, case, seen)
        assert judgement.verdict is wanted[case.subject], (case, judgement)


def test_the_table_of_that_pythons_core_is_exact(foreign: Foreign) -> None:
    shared = open_object(foreign.project / "pymmio/arch/_core.abi3.so")
    assert shared.arch == foreign.arch.name
    for key, judgement in judge_table(shared).items():
        assert judgement.verdict is Verdict.EXACT, (key, judgement)
