from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from pymmio.errors import AccessFault, Closed
from pymmio.regs import RegArray, Register, RegisterFile
from tests.unit.regs.fake_space import FakeSpace
from tests.unit.regs.sample import Sample


@pytest.fixture
def space():
    space = FakeSpace()
    space.poke(0, 64, 0x1234_0000_0000_00AB)
    space.poke(0x14, 32, 0x31)
    return space


def test_a_dump_reads_each_readable_register_once_and_nothing_else(space):
    Sample(space).dump()
    assert space.log == [
        ("read", 64, 0x00, None),
        ("read", 32, 0x14, None),
        ("read", 32, 0x1C, None),
        ("read", 16, 0x20, None),
        ("read", 32, 0x28, None),
        ("read", 16, 0x80, None),
        ("read", 16, 0x84, None),
        ("read", 16, 0x88, None),
    ]


def test_side_effects_are_read_when_asked_for(space):
    dump = Sample(space).dump(side_effects=True)
    assert ("read", 8, 0x24, None) in space.log
    assert {r.name: r.not_read for r in dump.registers}["fifo"] is None


def test_registers_that_are_not_read_are_listed_with_the_reason(space):
    reasons = {r.name: r.not_read for r in Sample(space).dump().registers if r.not_read}
    assert reasons == {
        "fifo": "a read has side effects",
        "tail[0..3]": "write-only",
        "head[0..3]": "write-only",
    }


def test_text_shows_registers_fields_and_members(space):
    lines = Sample(space).dump().text().splitlines()
    assert lines[0] == "Sample of fake"
    assert "0x0000  id          RO   0x12340000000000ab  Identification" in lines
    assert "        low [15:0]    171 (0xab)  low part" in lines
    assert "        mode [6:4]   unknown(0x3) (0x3)" in lines
    assert "        en [0]       1  enable" in lines
    assert "0x1000  tail[0..3]  WO   not read: write-only" in lines
    assert not [line for line in lines if "rsvd" in line or " go " in line]
    assert str(Sample(space).dump()) == "\n".join(lines)


def test_json_holds_numbers_and_text(space):
    data = json.loads(Sample(space).dump().json())
    by_name = {r["name"]: r for r in data["registers"]}
    assert by_name["id"] == {
        "name": "id",
        "offset": 0,
        "width": 64,
        "access": "RO",
        "value": 0x1234_0000_0000_00AB,
        "hex": "0x12340000000000ab",
        "not_read": None,
        "fields": {"low": 0xAB, "high": 0x1234},
    }
    assert by_name["head[0..3]"]["value"] is None
    assert by_name["head[0..3]"]["hex"] is None


def test_rich_shows_a_table_and_takes_nothing_for_markup(space):
    from rich.console import Console

    console = Console(width=120, file=io.StringIO())
    console.print(Sample(space).dump())
    text = console.file.getvalue()
    assert "mode [6:4]" in text
    assert "0x12340000000000ab" in text
    assert "write-only" in text


def test_a_narrow_table_loses_no_words():
    from rich.console import Console

    console = Console(width=50, file=io.StringIO())
    console.print(Sample(FakeSpace()).dump())
    assert "…" not in console.file.getvalue()


def test_rich_is_imported_only_for_its_table():
    code = (
        "import sys; from tests.unit.regs.test_dump import Sample, FakeSpace;"
        "Sample(FakeSpace()).dump().text();"
        "assert 'rich' not in sys.modules, 'rich was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_dump_of_a_device_that_is_gone_shows_all_ones(space):
    space.poke(0x1C, 32, 0xFFFF_FFFF)
    status = next(r for r in Sample(space).dump().registers if r.name == "status")
    assert status.hex == "0xffffffff"


def test_registers_outside_the_region_are_said_to_be(space):
    space.size = 0x84
    reasons = {r.name: r.not_read for r in Sample(space).dump().registers}
    assert reasons["slots[0]"] is None
    assert reasons["slots[1]"] == "outside the region"


def test_a_register_whose_read_fails_is_listed_and_the_rest_is_read(space):
    def fail(offset):
        raise AccessFault("fake: SIGBUS", hint="Look at the device")

    space.read16 = fail
    reasons = {r.name: r.not_read for r in Sample(space).dump().registers}
    assert reasons["events"] == "fake: SIGBUS. Look at the device"
    assert reasons["ctrl"] is None


def test_a_dump_of_a_closed_region_raises(space):
    def closed(offset):
        raise Closed("fake is closed")

    space.read32 = closed
    with pytest.raises(Closed):
        Sample(space).dump()


def test_registers_are_in_order_of_their_offsets_also_interleaved(space):
    class A(Register, width=8):
        pass

    class File(RegisterFile):
        late = RegArray(A, offset=1, count=2, stride=2)
        early = RegArray(A, offset=0, count=2, stride=2)

    names = [r.name for r in File(space).dump().registers]
    assert names == ["early[0]", "late[0]", "early[1]", "late[1]"]


def test_an_empty_file_has_an_empty_dump(space):
    class Empty(RegisterFile):
        pass

    assert Empty(space).dump().text() == "Empty of fake"
