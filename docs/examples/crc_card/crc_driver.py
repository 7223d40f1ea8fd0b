"""A driver for the CRC card: ``python crc_driver.py [URI]``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Self

from pymmio import Device, open_device
from pymmio.arch.barriers import dma_wmb
from pymmio.errors import BadArgument, ProtocolError, Unsupported
from pymmio.owner import Owner
from pymmio.pci import PciMatch
from pymmio.regs import RO, W1C, WO, Field, Reg, Register, RegisterFile

MAGIC = 0xC3C3
BUFFER_SIZE = 1 << 20
READY_S = 1.0


class ID(Register, offset=0x00, width=32, access=RO, all_ones_means_gone=True):
    """What the card is."""

    magic = Field(bits=(0, 15), doc="C3C3h")
    version = Field(bits=(16, 23))


class CONTROL(Register, offset=0x04, width=32):
    """Switches the card on."""

    enable = Field(bit=0)


class STATUS(Register, offset=0x08, width=32):
    """What the card does."""

    ready = Field(bit=0, access=RO, doc="follows CONTROL.enable")
    done = Field(bit=8, access=W1C, doc="RESULT is there")
    failed = Field(bit=9, access=W1C, doc="the memory could not be read")


class ADDRESS(Register, offset=0x10, width=64):
    """Where the data is."""


class LENGTH(Register, offset=0x18, width=32):
    """How many bytes."""


class START(Register, offset=0x1C, width=32, access=WO):
    """A write starts the computation."""


class RESULT(Register, offset=0x20, width=32, access=RO):
    """The CRC-32."""


class Registers(RegisterFile):
    """BAR 0."""

    id = Reg(ID)
    control = Reg(CONTROL)
    status = Reg(STATUS)
    address = Reg(ADDRESS)
    length = Reg(LENGTH)
    start = Reg(START)
    result = Reg(RESULT)


# What pymmio looks for in a module of the entry-point group pymmio.drivers.
MATCH = (PciMatch(vendor_id=0x1AF4, device_id=0x10F1),)
REGISTERS = Registers
REGISTER_BAR = 0


class CrcCard(Owner):
    """A CRC card; use it in a ``with`` statement.  For one thread."""

    def __init__(self, device: Device) -> None:
        """Look whether ``device`` is such a card; use :meth:`open`."""
        self.device = device
        self.regs = Registers(device.region(REGISTER_BAR))
        self._undo = ExitStack()
        found = self.regs.id.read()
        if found.magic != MAGIC:
            raise Unsupported(f"{device.name} is no CRC card: {found}")
        self.interrupt = device.irqs.msix[0]
        self.buffer = device.dma.alloc(BUFFER_SIZE)

    @classmethod
    def open(cls, uri: str) -> Self:
        """Open the card that ``uri`` names; where a step fails, those before are undone."""
        with ExitStack() as undo:
            self = cls(undo.enter_context(open_device(uri)))
            undo.callback(self.regs.control.write, enable=0)
            self.regs.control.write(enable=1)
            self.regs.status.wait_until(ready=1, timeout_s=READY_S)
            self._undo = undo.pop_all()  # all went well: close() does it
        return self

    def crc32(self, data: bytes, *, timeout_s: float = 1.0) -> int:
        """Let the card compute the CRC-32 of ``data``.

        Raises BadArgument for no data or too much, DeviceTimeout, ProtocolError.
        """
        if not 0 < len(data) <= BUFFER_SIZE:
            raise BadArgument(f"{len(data)} bytes do not fit", hint=f"1 to {BUFFER_SIZE} do")
        memoryview(self.buffer)[: len(data)] = data
        self.buffer.hold()  # nobody may free it while the card reads it
        try:
            self._run(len(data), timeout_s)
        except BaseException:
            self.device.disable_bus_master()  # it may still read: keep it from the memory
            raise
        finally:
            self.buffer.release()
        return int(self.regs.result.read())

    def _run(self, size: int, timeout_s: float) -> None:
        self.interrupt.try_take()  # forget what came before
        self.device.enable_bus_master()  # for the card's reads, and for its interrupt
        self.regs.address.write(self.buffer.iova)
        self.regs.length.write(size)
        dma_wmb()  # the data is in memory before the card is told to read it
        self.regs.start.write(1)
        self.interrupt.wait(timeout_s)
        status = self.regs.status.read()  # the interrupt says that something happened, not what
        self.regs.status.clear("done", "failed")
        if status.failed or not status.done:
            raise ProtocolError(f"{self.device.name}: interrupt, and the status is {status}")

    def close(self) -> None:
        """Switch the card off and give it back; closing twice is fine."""
        self._undo.close()


if __name__ == "__main__":
    with CrcCard.open(sys.argv[1] if len(sys.argv) > 1 else "sim:crc") as card:
        print(f"{card.crc32(b'123456789'):#010x}")
