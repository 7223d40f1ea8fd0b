"""Names of registers and fields."""

from __future__ import annotations

import enum

from pymmio.regs import RESERVED, Field, Reg, RegArray, Register, RegisterFile
from pymmio.trace import RegisterNames
from tests.unit.trace.events import access


class Phase(enum.IntEnum):
    IDLE = 0
    BUSY = 2


class STATUS(Register, offset=0x1C, width=32):
    rdy = Field(bit=0)
    phase = Field(bits=(2, 3), enum=Phase)
    count = Field(bits=(8, 15))
    rest = Field(bits=(16, 31), access=RESERVED)


class BASE(Register, offset=0x28, width=64):
    pass


class WIDE(Register, width=64):
    pass


class RING(Register, width=32):
    pass


class Registers(RegisterFile):
    status = Reg(STATUS)
    base = Reg(BASE)
    first = Reg(RING, offset=0x40)
    second = Reg(RING, offset=0x44)
    rings = RegArray(WIDE, offset=0x100, count=4, stride=16)


NAMES = RegisterNames.of(Registers)


def test_an_access_has_the_name_of_its_register_and_its_fields() -> None:
    assert NAMES.describe(access("read", 0x1C, 0xFFFF_0109)) == (
        "BAR0.STATUS read32 = 0xffff0109 (rdy=1 phase=BUSY count=1)"
    )


def test_an_access_without_a_name_is_as_before() -> None:
    event = access("read", 0x80, 5)
    assert NAMES.describe(event) == str(event)


def test_a_window_counts_from_where_it_starts() -> None:
    assert "BAR0.STATUS" in NAMES.describe(access("read", 0x0C, 1, base=0x10))


def test_half_a_register_has_its_distance_and_no_fields() -> None:
    assert NAMES.describe(access("write", 0x2C, 1)) == "BAR0.BASE+4 write32 = 0x1"
    assert NAMES.find(0x1C, 2) == ("STATUS", None)


def test_a_class_that_stands_twice_goes_by_the_names_of_its_places() -> None:
    assert [NAMES.find(at, 4)[0] for at in (0x40, 0x44)] == ["first", "second"]


def test_elements_of_an_array_have_their_index() -> None:
    assert NAMES.find(0x130, 8)[0] == "WIDE[3]"
    assert NAMES.find(0x134, 4)[0] == "WIDE[3]+4"
    assert NAMES.find(0x138, 8)[0] == ""
    assert NAMES.find(0x140, 8)[0] == ""


def test_what_went_wrong_and_how_often_is_told() -> None:
    assert NAMES.describe(access("read", 0x1C, None, error="AccessFault: no")) == (
        "BAR0.STATUS read32 failed: AccessFault: no"
    )
    assert "poll32 (3 times) = 0x1" in NAMES.describe(access("poll", 0x1C, 1, count=3))
    assert NAMES.describe(access("block", 0x1C, None, size=64)) == "BAR0.STATUS block32 64 bytes"


def test_later_names_win() -> None:
    both = NAMES.joined(RegisterNames.of({0x1C: "CSTS", 0x1000: "SQ0TDBL"}))
    assert both.find(0x1C, 4)[0] == "CSTS"
    assert both.find(0x1000, 4)[0] == "SQ0TDBL"
    assert both.find(0x28, 8)[0] == "BASE"
