"""The registers of the edu device (QEMU, docs/specs/edu.rst)."""

from __future__ import annotations

from pymmio.regs import RO, RW, WO, Field, Reg, Register, RegisterFile


class IDENTIFICATION(Register, offset=0x00, width=32, access=RO, all_ones_means_gone=True):
    """What the device is."""

    magic = Field(bits=(0, 15), doc="0x00ed")
    minor = Field(bits=(16, 23), doc="minor version")
    major = Field(bits=(24, 31), doc="major version")


class LIVENESS(Register, offset=0x04, width=32, access=RW):
    """Reads as the inverse of what was written."""


class FACTORIAL(Register, offset=0x08, width=32, access=RW):
    """A number is written, its factorial is read."""


class STATUS(Register, offset=0x20, width=32):
    """Status."""

    computing = Field(bit=0, access=RO, doc="a factorial is being computed")
    irq_when_done = Field(bit=7, access=RW, doc="raise an interrupt at its end")


class IRQ_STATUS(Register, offset=0x24, width=32, access=RO):
    """Why an interrupt was raised."""

    factorial = Field(bit=0)
    dma = Field(bit=8)


class IRQ_ACKNOWLEDGE(Register, offset=0x64, width=32, access=WO):
    """Clears the bits of the interrupt status that are written as 1."""


class DMA_SOURCE(Register, offset=0x80, width=64, access=RW):
    """Where DMA reads from."""


class DMA_DESTINATION(Register, offset=0x88, width=64, access=RW):
    """Where DMA writes to."""


class DMA_COUNT(Register, offset=0x90, width=64, access=RW):
    """How many bytes DMA moves."""


class DMA_COMMAND(Register, offset=0x98, width=64, access=RW):
    """Starts DMA; the start bit reads 1 until it is done."""

    start = Field(bit=0)
    to_memory = Field(bit=1, doc="0: memory to device, 1: device to memory")
    irq_when_done = Field(bit=2)


class Registers(RegisterFile):
    """BAR0."""

    identification = Reg(IDENTIFICATION)
    liveness = Reg(LIVENESS)
    factorial = Reg(FACTORIAL)
    status = Reg(STATUS)
    irq_status = Reg(IRQ_STATUS)
    irq_acknowledge = Reg(IRQ_ACKNOWLEDGE)
    dma_source = Reg(DMA_SOURCE)
    dma_destination = Reg(DMA_DESTINATION)
    dma_count = Reg(DMA_COUNT)
    dma_command = Reg(DMA_COMMAND)
