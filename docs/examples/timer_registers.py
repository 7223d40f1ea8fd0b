"""A block of timers, declared: the cases that declare-registers.rst explains."""

from __future__ import annotations

import enum

from pymmio.mmio import AccessRule, Order
from pymmio.regs import (
    RESERVED,
    RO,
    U16,
    U32,
    W1C,
    WO,
    ArrayOf,
    Ascii,
    Field,
    Layout,
    Reg,
    RegArray,
    Register,
    RegisterFile,
)
from pymmio.testing import mapped_region


class Clock(enum.IntEnum):
    INTERNAL = 0
    EXTERNAL = 1
    GATED = 4


class CONTROL(Register, offset=0x00, width=32):
    """Data sheet 4.1."""

    enable = Field(bit=0)
    clock = Field(bits=(4, 6), enum=Clock, doc="where ticks come from")
    build = Field(bits=(24, 31), access=RO, doc="number of the build")


class EVENTS(Register, offset=0x04, width=16):
    """Data sheet 4.2."""

    expired = Field(bit=0, access=W1C)
    overrun = Field(bit=1, access=W1C, doc="expired again before it was cleared")
    threshold = Field(bits=(8, 11))
    preserved = Field(bits=(12, 15), access=RESERVED)


class COUNTER(Register, offset=0x08, width=64, access=RO):
    """Data sheet 4.3."""


class FIFO(Register, offset=0x10, width=32, access=RO, read_side_effects=True):
    """Data sheet 4.4."""


class COMMAND(Register, offset=0x14, width=32, access=WO):
    """Data sheet 4.5."""

    restart = Field(bit=0)


class CHANNEL(Register, offset=0x40, width=32):
    """Data sheet 4.6."""

    period = Field(bits=(0, 23), doc="ticks")


class Registers(RegisterFile):
    """BAR 0."""

    control = Reg(CONTROL)
    events = Reg(EVENTS)
    counter = Reg(COUNTER)
    fifo = Reg(FIFO)
    command = Reg(COMMAND)
    channels = RegArray(CHANNEL, count=4, stride=0x10)


class Sample(Layout, size=8, byteorder="big"):
    """Data sheet 5.1."""

    channel = U16(0)
    ticks = U32(4)


class Table(Layout, size=64, byteorder="big"):
    """Data sheet 5.2."""

    name = Ascii(0, 16)
    samples = ArrayOf(Sample, 16, count=6)


region = mapped_region(0x100)  # a driver takes device.region(0); here you are the device
regs = Registers(region)

# fields
regs.control.write(CONTROL(enable=1, clock=Clock.GATED))
print(regs.control.read())
print(regs.control.update(clock=Clock.EXTERNAL))
print(CONTROL(0x2A000041))

# bits that a 1 clears
region.write16(0x04, 0x5303)
print(regs.events.read())
regs.events.clear("expired")
print(hex(region.read16(0x04)), "was written")

# 64 bits in two halves
rule = AccessRule(device_widths=frozenset({4}), order64=Order.HIGH_FIRST)
halves = mapped_region(0x100, rule=rule)
halves.write64(0x08, 0x1_0000_0002)
print(Registers(halves).counter.read())

# arrays
for channel in regs.channels:
    channel.write(period=1000)
print(len(regs.channels), regs.channels[3].read())

# all of them
print(regs.dump())

# structures in memory
memory = bytearray(64)  # a driver takes memoryview(buffer)
table = Table.view(memory)
table.name = "timers"
table.samples[1].ticks = 0x01020304
print(memory[24:32].hex(), Table.parse(memory).samples[1])
