"""What type checkers must conclude; test_typing.py runs mypy on this file."""

from __future__ import annotations

import enum
from typing import assert_type

from pymmio.mmio import Region
from pymmio.regs import (
    RO,
    U8,
    U16,
    U32,
    WO,
    ArrayOf,
    Ascii,
    Bits,
    BoundRegArray,
    BoundRegister,
    Bytes,
    Field,
    Layout,
    Nested,
    Reg,
    RegArray,
    Register,
    RegisterFile,
)


class CommandSet(enum.IntEnum):
    NVM = 0


class CAP(Register, offset=0x00, width=64, access=RO):
    mqes = Field(bits=(0, 15))
    css = Field(bits=(37, 44), enum=CommandSet)


class DBL(Register, width=32, access=WO):
    pass


class LbaFormat(Layout, size=4, byteorder="little"):
    ms = U16(0)
    rest = U8(3)
    rp = Bits(rest, bits=(0, 1))
    kind = Bits(rest, bits=(2, 3), enum=CommandSet)


class Page(Layout, size=64, byteorder="little"):
    css = U8(0, enum=CommandSet)
    serial = Ascii(4, 20)
    formats = ArrayOf(LbaFormat, 32, count=2)
    first = Nested(LbaFormat, 40)
    words = ArrayOf(U32, 44, count=2)
    raw = Bytes(60, 4)


class Registers(RegisterFile):
    cap = Reg(CAP)
    dbl = RegArray(DBL, offset=0x1000, count=2, stride=4)


def registers(region: Region) -> None:
    regs = Registers(region)
    assert_type(regs.cap, BoundRegister[CAP])
    assert_type(regs.cap.read(), CAP)
    assert_type(regs.cap.read().mqes, int)
    assert_type(regs.cap.read().css, CommandSet)
    assert_type(regs.cap.wait_until(mqes=1, timeout_s=1), CAP)
    assert_type(regs.cap.read().replace(mqes=3), CAP)
    assert_type(CAP.mqes, Field[int])
    assert_type(regs.dbl, BoundRegArray[DBL])
    assert_type(regs.dbl[0], BoundRegister[DBL])
    assert_type(regs.bind(DBL, offset=0), BoundRegister[DBL])
    regs.dbl[0].write(CAP(1))  # type: ignore[arg-type]
    regs.dbl = 1  # type: ignore[assignment]


def structures(buffer: bytearray) -> None:
    page = Page.parse(buffer)
    assert_type(page, Page)
    assert_type(page.css, CommandSet)
    assert_type(page.serial, str)
    assert_type(page.formats, tuple[LbaFormat, ...])
    assert_type(page.formats[0].rp, int)
    assert_type(page.formats[0].kind, CommandSet)
    assert_type(page.first, LbaFormat)
    assert_type(page.words, tuple[int, ...])
    assert_type(page.raw, bytes)
    page.serial = 3  # type: ignore[assignment]
