"""Accesses recorded while a Python of another architecture calls the core: s390x, big-endian.

The emulator does not show what storage-to-storage instructions touch: what uses them is unproven,
and the core's accesses count because its table shows that they are none of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.check.accessors import emulator
from pymmio.check.accessors.dynamic import Case, judge_recorded, record_emulated
from pymmio.check.accessors.static import judge_table, open_object
from pymmio.check.accessors.subjects import SUBJECTS
from pymmio.check.accessors.verdict import Direction, Verdict
from tests.arch.architectures import Architecture
from tests.bigendian.stage import PLACES, make
from tests.debian import PackagesUnavailable
from tests.s390x.python import ensure_python

DEADLINE_S = 300.0
WANTED = {
    "pymmio": Verdict.EXACT,
    "pymmio block": Verdict.EXACT,
    "byte by byte": Verdict.SPLIT,
    "twice": Verdict.REPEATED,
    "glibc memcpy": Verdict.UNPROVEN,  # MVC
}
Key = tuple[str, Direction, int]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the s390x Python with this project's extensions."""
    try:
        return make(ensure_python(), tmp_path_factory.mktemp("stage"))
    except PackagesUnavailable as error:
        pytest.skip(f"s390x Python: {error}")


def cases() -> list[Case]:
    directions: tuple[Direction, ...] = ("read", "write")
    return [
        Case(subject.name, width, direction)
        for subject in SUBJECTS
        if subject.name in WANTED
        for direction in directions
        for width in (1, 2, 4, 8)
        if width in subject.widths
    ]


def test_accesses_of_a_python_for_s390x(s390x: Architecture, python: Path, tmp_path: Path) -> None:
    command = emulator.emulator_for("s390x", is_complete=False)
    root = ensure_python()
    (interpreter,) = (root / "usr/bin").glob("python3.[0-9]*[0-9]")
    probe = ["-L", str(root), str(interpreter), "-I", "-c", ""]
    plugin = emulator.build_plugin(command, probe, tmp_path)
    observed = record_emulated(
        cases(),
        [str(python)],
        plugin,
        tmp_path,
        deadline_s=DEADLINE_S,
        cwd=python.parents[1] / "project",
    )
    for case, seen in zip(cases(), observed, strict=True):
        judgement = judge_recorded(s390x.machine, case, seen)
        assert judgement.verdict is WANTED[case.subject], (case, judgement)


def test_the_table_of_that_pythons_core_is_exact(s390x: Architecture, python: Path) -> None:
    shared = open_object(python.parents[1] / "project" / PLACES["core"])
    assert shared.arch == s390x.name
    for key, judgement in judge_table(shared).items():
        assert judgement.verdict is Verdict.EXACT, (key, judgement)
