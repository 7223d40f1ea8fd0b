"""The accesses of the core as they are executed on each architecture, by two recorders.

Under qemu-user a C program stands in for Python: it shows the core's accessors and what compilers
make of ``__builtin_memcpy``, and that both recorders tell good from bad on each architecture.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pymmio.check.accessors import emulator
from pymmio.check.accessors.dynamic import Case, Observed, judge_recorded
from pymmio.check.accessors.static import judge_symbol, judge_table, open_object
from pymmio.check.accessors.verdict import Verdict
from tests.arch.architectures import ARCHITECTURES, Architecture
from tests.arch.build import CORE, WARNINGS, compile_with

CHECK = "pymmio/check/accessors"
SOURCES = (*CORE, f"{CHECK}/recorder.c", f"{CHECK}/specimens.c", "tests/arch/recorded/main.c")
OPTIONS = ("-std=gnu11", "-O2", "-fno-tree-vectorize", *WARNINGS, "-I.", "-pthread")
DEADLINE_S = 60.0
NO_FAULT_RECORDER = 4
STRICT = {"riscv64"}
"""Compilers may not use accesses here that are not aligned: a copy is byte by byte."""

Verdicts = dict[tuple[str, str, int], Verdict]


@pytest.fixture(scope="module")
def program_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Architecture], Path]:
    """Return a function that builds the program of an architecture, once."""
    built: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("recorded")

    def of(arch: Architecture) -> Path:
        if arch.name not in built:
            built[arch.name] = folder / f"recorded-{arch.name}"
            compile_with(arch.compiler, [*OPTIONS, *SOURCES, "-o", str(built[arch.name])])
        return built[arch.name]

    return of


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def verdicts(arch: Architecture, lines: list[dict[str, Any]]) -> Verdicts:
    found = {}
    for line in lines:
        case = Case(line["subject"], line["width"], line["direction"])
        judgement = judge_recorded(arch.machine, case, Observed(recorded=(line,)))
        found[case.subject, case.direction, case.width] = judgement.verdict
    return found


def assert_all_as_known(arch: Architecture, found: Verdicts) -> None:
    wanted = {"core": Verdict.EXACT, "plain": Verdict.EXACT, "doubled": Verdict.REPEATED}
    wanted |= {"bytewise": Verdict.SPLIT, "builtin": Verdict.EXACT}
    if arch.name in STRICT:
        wanted["builtin"] = Verdict.SPLIT
    assert len(found) == 5 * 2 * 4
    for (subject, direction, width), verdict in found.items():
        is_byte = width == 1 and wanted[subject] is Verdict.SPLIT
        expected = Verdict.EXACT if is_byte else wanted[subject]
        assert verdict is expected, (subject, direction, width)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "s390x"])
def test_the_fault_recorder_tells_good_from_bad(
    name: str, program_of: Callable[[Architecture], Path]
) -> None:
    arch = ARCHITECTURES[name]
    if reason := arch.reason_not_ready():
        pytest.skip(reason)
    done = run(*arch.runner, program_of(arch), "fault")
    assert done.returncode == 0, done.stderr
    assert_all_as_known(arch, verdicts(arch, [json.loads(x) for x in done.stdout.splitlines()]))


def test_s390x_has_no_fault_recorder_and_says_so(
    s390x: Architecture, program_of: Callable[[Architecture], Path]
) -> None:
    assert run(*s390x.runner, program_of(s390x), "fault").returncode == NO_FAULT_RECORDER


def test_the_emulators_recorder_tells_good_from_bad(
    arch: Architecture, program_of: Callable[[Architecture], Path], tmp_path: Path
) -> None:
    command = emulator.emulator_for(arch.name, is_complete=False)
    runner = [command, *arch.runner[1:]]
    program = program_of(arch)
    plugin = emulator.build_plugin(command, [*runner[1:], str(program), "nothing"], tmp_path)
    out = tmp_path / "accesses.txt"
    done = run(
        *(command, "-plugin", emulator.plugin_argument(plugin, out), *runner[1:]),
        *(program, "marks", hex(emulator.MARKS)),
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line, touches in zip(lines, emulator.read_recordings(out), strict=True):
        line["touches"] = touches
    assert_all_as_known(arch, verdicts(arch, lines))


def test_the_static_look_agrees(
    arch: Architecture, program_of: Callable[[Architecture], Path]
) -> None:
    shared = open_object(program_of(arch))
    assert shared.arch == arch.name
    for key, judgement in judge_table(shared).items():
        assert judgement.verdict is Verdict.EXACT, (key, judgement)
    found: Verdicts = {
        ("core", d, w): Verdict.EXACT for d in ("read", "write") for w in (1, 2, 4, 8)
    }
    for prefix in ("plain", "builtin", "bytewise", "doubled"):
        for direction in ("read", "write"):
            for width in (1, 2, 4, 8):
                symbol = f"pm_{prefix}_{direction}{8 * width}"
                judgement = judge_symbol(shared, symbol, width, direction)  # type: ignore[arg-type]
                found[prefix, direction, width] = judgement.verdict
    assert_all_as_known(arch, found)
