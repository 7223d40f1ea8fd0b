"""The exception table of the core, and what is no table."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pymmio.arch import _core
from pymmio.check.accessors import _recorder, disassembly
from pymmio.check.accessors.disassembly import Access
from pymmio.check.accessors.shared_object import Record, SharedObject
from pymmio.check.accessors.static import judge_record, judge_symbol, judge_table, open_object
from pymmio.check.accessors.tools import ToolMissing
from pymmio.check.accessors.verdict import Verdict
from pymmio.errors import BadArgument

pytest.importorskip("capstone")

CORE = Path(_core.__file__)
RECORDER = Path(_recorder.__file__)


@pytest.fixture
def core() -> SharedObject:
    return open_object(CORE)


@pytest.fixture
def without_capstone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    disassembly.decoder.cache_clear()
    monkeypatch.setitem(sys.modules, "capstone", None)
    yield
    disassembly.decoder.cache_clear()


def test_each_width_and_direction_of_the_core_is_exact(core: SharedObject) -> None:
    table = judge_table(core)
    plain = {key: found for key, found in table.items() if key[0] <= 8}
    assert set(plain) == {(w, d) for w in (1, 2, 4, 8) for d in ("read", "write")}
    for key, found in plain.items():
        assert found.verdict is Verdict.EXACT, (key, found)
        assert "instruction" in found.detail


def test_a_library_without_a_table_proves_nothing() -> None:
    for found in judge_table(open_object(RECORDER)).values():
        assert found.verdict is Verdict.UNPROVEN


def claim(core: SharedObject, **changed: object) -> Record:
    record = next(iter(core.records()))
    return replace(record, claimed=replace(record.claimed, **changed))  # type: ignore[arg-type]


def test_a_wrong_width_in_a_record_is_split(core: SharedObject) -> None:
    width = next(iter(core.records())).claimed.width
    found = judge_record(core, claim(core, width=width * 2))
    assert found.verdict is Verdict.SPLIT
    assert f"of {width * 2}" in found.detail


def test_a_record_of_no_access_is_unproven(core: SharedObject) -> None:
    record = next(iter(core.records()))
    fixup = replace(record, instruction=record.fixup)
    assert judge_record(core, fixup).verdict is Verdict.UNPROVEN
    nowhere = replace(record, instruction=0x7FFF_FFFF_0000)
    assert judge_record(core, nowhere).verdict is Verdict.UNPROVEN


def test_one_wrong_record_spoils_its_width(
    core: SharedObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = list(core.records())
    bad = Record(records[0].fixup, records[0].fixup, Access(4, False))
    monkeypatch.setattr(SharedObject, "records", lambda self: iter([*records, bad]))
    table = judge_table(core)
    assert table[4, "read"].verdict is Verdict.UNPROVEN
    assert table[8, "read"].verdict is Verdict.EXACT


def test_the_core_is_found_in_a_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "pymmio-0-cp311-abi3-linux_x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(CORE, "pymmio/arch/_core.abi3.so")
    found = open_object(wheel)
    assert found.name.endswith("_core.abi3.so")
    assert judge_table(found)[4, "read"].verdict is Verdict.EXACT


def test_a_wheel_of_something_else_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(BadArgument, match="no core of pymmio"):
        open_object(wheel)


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library")
    with pytest.raises(BadArgument, match="no ELF file"):
        open_object(text)
    with pytest.raises(BadArgument, match="there is no file"):
        open_object(tmp_path / "missing.so")


def test_a_function_that_is_not_there_is_refused(core: SharedObject) -> None:
    with pytest.raises(BadArgument, match="no function 'pm_nothing'"):
        judge_symbol(core, "pm_nothing", 4, "read")


@pytest.mark.parametrize(
    ("prefix", "verdict"),
    [
        ("plain", Verdict.EXACT),
        ("bytewise", Verdict.SPLIT),
        ("doubled", Verdict.REPEATED),
    ],
)
@pytest.mark.parametrize("direction", ["read", "write"])
@pytest.mark.parametrize("width", [2, 4, 8])
def test_specimens_get_the_verdict_that_they_were_written_for(
    prefix: str, verdict: Verdict, direction: str, width: int
) -> None:
    shared = open_object(RECORDER)
    symbol = f"pm_{prefix}_{direction}{8 * width}"
    assert judge_symbol(shared, symbol, width, direction).verdict is verdict  # type: ignore[arg-type]


def test_a_call_of_the_c_library_is_not_provable() -> None:
    found = judge_symbol(open_object(RECORDER), "pm_libc_memcpy", 4, "read")
    assert found.verdict is Verdict.UNPROVEN


@pytest.mark.usefixtures("without_capstone")
def test_without_capstone_nothing_is_judged(core: SharedObject) -> None:
    with pytest.raises(ToolMissing, match="capstone is not installed"):
        judge_table(core)


def test_without_pyelftools_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    with pytest.raises(ToolMissing) as raised:
        open_object(CORE)
    assert "pymmio[check]" in str(raised.value)
