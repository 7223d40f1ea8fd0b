"""What differs between two dumps."""

from __future__ import annotations

import pytest

from pymmio.mmio import Region
from pymmio.regs import RO, RW, Field, Reg, Register, RegisterFile, changes
from pymmio.testing import mapped_region


class Status(Register, offset=0x00, width=32, access=RO):
    ready = Field(bit=0)
    level = Field(bits=(4, 7))


class Limit(Register, offset=0x08, width=16, access=RW):
    pass


class Registers(RegisterFile):
    status = Reg(Status)
    limit = Reg(Limit)


@pytest.fixture
def region():
    with mapped_region(64) as found:
        yield found


def test_nothing_changed(region: Region):
    registers = Registers(region)
    assert changes(registers.dump(), registers.dump()) == ()


def test_a_change_names_its_fields_and_no_others(region: Region):
    registers = Registers(region)
    before = registers.dump()
    region.write32(0, 0x31)
    (found,) = changes(before, registers.dump())
    assert [str(one) for one in found.fields] == ["ready 0 -> 1", "level 0 -> 3"]
    assert str(found) == "status 0x00000000 -> 0x00000031  ready 0 -> 1, level 0 -> 3"
    assert found.as_dict() == {
        "name": "status",
        "offset": 0,
        "before": 0,
        "after": 0x31,
        "fields": {"ready": [0, 1], "level": [0, 3]},
    }


def test_a_register_without_fields_changes_as_a_whole(region: Region):
    registers = Registers(region)
    before = registers.dump()
    region.write16(8, 7)
    (found,) = changes(before, registers.dump())
    assert (found.name, found.fields, str(found)) == ("limit", (), "limit 0x0000 -> 0x0007")


def test_registers_of_another_file_are_left_out(region: Region):
    class Other(RegisterFile):
        limit = Reg(Limit)

    before = Other(region).dump()
    region.write32(0, 1)
    region.write16(8, 1)
    assert [one.name for one in changes(before, Registers(region).dump())] == ["limit"]
