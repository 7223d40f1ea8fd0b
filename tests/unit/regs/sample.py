"""A made-up device whose registers have every kind of field."""

from __future__ import annotations

import enum

from pymmio.regs import (
    RESERVED,
    RO,
    RW,
    W1C,
    W1S,
    WO,
    Field,
    Reg,
    RegArray,
    Register,
    RegisterFile,
)


class Mode(enum.IntEnum):
    IDLE = 0
    FAST = 2
    SLOW = 7


class ID(Register, offset=0x00, width=64, access=RO, reset=0x1234_0000_0000_00AB):
    """Identification."""

    low = Field(bits=(0, 15), doc="low part")
    high = Field(bits=(48, 63))


class CTRL(Register, offset=0x14, width=32, access=RW):
    """Control."""

    en = Field(bit=0, doc="enable")
    mode = Field(bits=(4, 6), enum=Mode, reset=2)
    size = Field(bits=(8, 15))
    rsvd = Field(bits=(16, 17), access=RESERVED)
    ready = Field(bit=31, access=RO)


class STATUS(Register, offset=0x1C, width=32, all_ones_means_gone=True):
    """Status."""

    rdy = Field(bit=0, access=RO)
    mask = Field(bits=(4, 7))
    keep = Field(bits=(8, 9), access=RESERVED)
    err = Field(bit=16, access=W1C)
    warn = Field(bits=(17, 18), access=W1C)
    kick = Field(bit=24, access=W1S)


class EVENTS(Register, offset=0x20, width=16, access=W1C):
    done = Field(bit=0)
    lost = Field(bit=1)


class FIFO(Register, offset=0x24, width=8, access=RO, read_side_effects=True):
    data = Field(bits=(0, 7))


class MIXED(Register, offset=0x28, width=32):
    go = Field(bit=0, access=WO)
    level = Field(bits=(8, 11))
    err = Field(bit=16, access=W1C)


class BELL(Register, offset=0x1000, width=32, access=WO):
    """Doorbell."""


class SLOT(Register, width=16):
    value = Field(bits=(0, 15))


class Sample(RegisterFile):
    id = Reg(ID)
    ctrl = Reg(CTRL)
    status = Reg(STATUS)
    events = Reg(EVENTS)
    fifo = Reg(FIFO)
    mixed = Reg(MIXED)
    tail = RegArray(BELL, count=4, stride=8)
    head = RegArray(BELL, count=4, stride=8, offset=0x1004)
    slots = RegArray(SLOT, count=3, stride=4, offset=0x80)
