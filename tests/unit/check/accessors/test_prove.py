"""The whole proof, run for real: pymmio is exact, known faults are found, tools may be missing."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.check.accessors import (
    Options,
    Row,
    Verdict,
    _recorder,
    core_table,
    disassembly,
    prove_callable,
    prove_function,
    prove_subjects,
    prove_table,
)
from pymmio.errors import BadArgument

RECORDER = Path(_recorder.__file__)
pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason=f"{platform.machine()} is proven by the arch tests"
)
NO_TEARING = Options(tearing_s=0)


def by_key(rows: list[Row]) -> dict[tuple[str, str, int], Row]:
    return {(row.subject, row.direction, row.width): row for row in rows}


@pytest.fixture(scope="module")
def proven() -> dict[tuple[str, str, int], Row]:
    names = ["pymmio", "pymmio block", "glibc memcpy", "ctypes value", "__builtin_memcpy"]
    return by_key(prove_subjects(names))


@pytest.mark.parametrize("subject", ["pymmio", "pymmio block", "__builtin_memcpy"])
@pytest.mark.parametrize("direction", ["read", "write"])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_one_access_of_pymmio_is_one_access(
    proven: dict[tuple[str, str, int], Row], subject: str, direction: str, width: int
) -> None:
    row = proven[subject, direction, width]
    assert row.static is row.dynamic is row.atomic is row.verdict is Verdict.EXACT, row
    assert width == 1 or row.tearing["changes"] >= 100


@pytest.mark.parametrize("width", [2, 4, 8])
def test_controls_are_what_they_are_known_to_be(
    proven: dict[tuple[str, str, int], Row], width: int
) -> None:
    assert proven["byte by byte", "read", width].verdict is Verdict.SPLIT
    assert proven["byte by byte", "write", width].verdict is Verdict.SPLIT
    assert proven["twice", "read", width].verdict is Verdict.REPEATED
    assert proven["twice", "write", width].verdict is Verdict.REPEATED
    assert proven["across a cache line", "read", width].verdict is Verdict.TORN
    assert proven["across a cache line", "read", width].dynamic is Verdict.EXACT
    assert proven["in two halves", "write", width].atomic is Verdict.TORN


def test_memcpy_of_the_c_library_reads_bytes_twice(
    proven: dict[tuple[str, str, int], Row],
) -> None:
    for width in (4, 5, 6, 7, 8):
        row = proven["glibc memcpy", "read", width]
        assert row.verdict is Verdict.REPEATED, row
        assert row.detail.startswith("dynamic: read")


def test_ctypes_reads_before_it_writes(proven: dict[tuple[str, str, int], Row]) -> None:
    row = proven["ctypes value", "write", 4]
    assert row.detail == "dynamic: read 4 at +0, write 4 at +0"
    assert proven["ctypes value", "read", 4].verdict is Verdict.UNPROVEN
    assert proven["ctypes value", "read", 4].dynamic is Verdict.EXACT


def test_without_capstone_everything_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    disassembly.decoder.cache_clear()
    monkeypatch.setitem(sys.modules, "capstone", None)
    try:
        rows = prove_subjects(["pymmio"], widths=[4], options=NO_TEARING)
    finally:
        monkeypatch.undo()
        disassembly.decoder.cache_clear()
    for row in rows:
        assert row.static is row.dynamic is row.verdict is Verdict.UNPROVEN
        assert "capstone is not installed" in row.detail


def test_without_pyelftools_the_static_part_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    row = by_key(prove_subjects(["pymmio"], widths=[4], options=NO_TEARING))["pymmio", "read", 4]
    assert row.static is row.verdict is Verdict.UNPROVEN
    assert row.dynamic is Verdict.EXACT
    assert "elftools is not installed" in row.detail


def test_without_a_tearing_run_nothing_is_exact_but_bytes() -> None:
    rows = by_key(prove_subjects(["pymmio"], widths=[1, 4], options=NO_TEARING))
    assert rows["pymmio", "read", 1].verdict is Verdict.EXACT
    assert rows["pymmio", "read", 4].verdict is Verdict.UNPROVEN


def test_a_recorder_that_does_not_work_proves_nothing() -> None:
    rows = by_key(
        prove_subjects(["pymmio"], widths=[4], options=Options(recorder="none", tearing_s=0))
    )
    assert rows["pymmio", "read", 4].dynamic is Verdict.UNPROVEN
    assert rows["pymmio", "read", 4].verdict is Verdict.UNPROVEN


@pytest.fixture
def shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules hide those that are installed, for the worker."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("subject", "module", "words"),
    [
        ("numpy", "numpy", "numpy is not installed"),
        ("python-periphery", "periphery", "python-periphery is not installed"),
    ],
)
def test_a_library_that_is_missing_is_unproven(
    shadowed: Path, subject: str, module: str, words: str
) -> None:
    (shadowed / f"{module}.py").write_text("raise ImportError\n")
    proven = prove_subjects([subject], widths=[4], options=NO_TEARING)
    rows = [row for row in proven if row.subject == subject]
    assert rows
    for row in rows:
        assert row.verdict is Verdict.UNPROVEN
        assert words in row.detail


def test_an_access_outside_the_table_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    table = core_table.CoreTable.of_loaded_core()
    less = core_table.CoreTable(table.path, table.judgements, frozenset(), table.shared)
    monkeypatch.setattr(core_table.CoreTable, "of_loaded_core", lambda: less)
    row = by_key(prove_subjects(["pymmio"], widths=[4], options=NO_TEARING))["pymmio", "read", 4]
    assert row.static is row.verdict is Verdict.UNPROVEN
    assert "is not in the exception table" in row.detail


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("peek", Verdict.UNPROVEN),  # nothing static can be said
        ("byte_wise", Verdict.SPLIT),
        ("twice", Verdict.REPEATED),
    ],
)
def test_a_function_of_python_is_judged(name: str, verdict: Verdict) -> None:
    target = f"tests.unit.check.accessors.callables:{name}"
    (row, *_) = prove_callable(target, widths=[4], direction="read", options=NO_TEARING)
    assert (row.subject, row.width, row.verdict) == (target, 4, verdict)


def test_a_function_that_returns_nothing_cannot_be_seen_torn() -> None:
    target = "tests.unit.check.accessors.callables:silent"
    (row, *_) = prove_callable(target, widths=[4], direction="read")
    assert row.dynamic is Verdict.EXACT
    assert row.atomic is Verdict.UNPROVEN
    assert "does not return the value" in row.detail


@pytest.mark.parametrize(
    ("symbol", "direction", "verdict"),
    [
        ("pm_plain_read32", "read", Verdict.EXACT),
        ("pm_plain_write32", "write", Verdict.EXACT),
        ("pm_bytewise_read32", "read", Verdict.SPLIT),
        ("pm_doubled_write32", "write", Verdict.REPEATED),
    ],
)
def test_a_function_of_a_shared_object_is_judged(
    symbol: str, direction: str, verdict: Verdict
) -> None:
    row = prove_function(RECORDER, symbol, width=4, direction=direction)[0]  # type: ignore[arg-type]
    assert row.verdict is verdict, row
    assert row.dynamic is verdict


def test_a_width_that_is_no_access_is_refused() -> None:
    with pytest.raises(BadArgument, match="width 3"):
        prove_function(RECORDER, "pm_plain_read32", width=3, direction="read")


def test_a_table_alone_is_static_only() -> None:
    rows = prove_table(Path(core_table._core.__file__))
    assert {row.width for row in rows} >= {1, 2, 4, 8}
    for row in rows:
        assert row.static is Verdict.EXACT
        assert row.verdict is Verdict.UNPROVEN


def test_an_unknown_subject_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadArgument, match="glibc memcpy"):
        prove_subjects(["memcpy"])
