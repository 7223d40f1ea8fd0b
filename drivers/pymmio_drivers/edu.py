"""The edu device of QEMU: a PCI function made for learning (QEMU, docs/specs/edu.rst).

It computes factorials, copies memory and raises interrupts, which is all that a driver has to
know about.  This file is the subject of the tutorial "Your first driver".
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from pymmio import Device, open_device
from pymmio.arch.barriers import dma_rmb, dma_wmb
from pymmio.dma import DmaBuffer
from pymmio.errors import BadArgument, ProtocolError, Unsupported
from pymmio.owner import Owner
from pymmio.pci import PciMatch
from pymmio.regs import RO, WO, Field, Reg, Register, RegisterFile

__all__ = ["MATCH", "REGISTERS", "REGISTER_BAR", "Edu"]

MATCH = (PciMatch(vendor_id=0x1234, device_id=0x11E8),)

BUFFER_ADDRESS = 0x40000  #: where the device's own memory is, as its DMA engine sees it
BUFFER_SIZE = 4096
ADDRESS_BITS = 28  #: the DMA engine has no more address lines
FACTORIAL_DONE, DMA_DONE = 0x001, 0x100  #: causes of interrupts
WAIT_S = 5.0


class Identification(Register, offset=0x00, width=32, access=RO, all_ones_means_gone=True):
    magic = Field(bits=(0, 7), doc="always EDh")
    minor = Field(bits=(16, 23), doc="minor version")
    major = Field(bits=(24, 31), doc="major version")


class Liveness(Register, offset=0x04, width=32):
    """Reads as the inverse of what was written."""


class Factorial(Register, offset=0x08, width=32):
    """Write n, wait until Status.computing is 0, read n! modulo 2**32."""


class Status(Register, offset=0x20, width=32):
    computing = Field(bit=0, access=RO)
    irq_after_factorial = Field(bit=7, doc="interrupt when a factorial is done")


class IrqStatus(Register, offset=0x24, width=32, access=RO):
    """Causes of interrupts that were not acknowledged."""


class IrqAcknowledge(Register, offset=0x64, width=32, access=WO):
    """Takes the written causes back."""


class DmaSource(Register, offset=0x80, width=64):
    """Where a transfer reads from."""


class DmaDestination(Register, offset=0x88, width=64):
    """Where a transfer writes to."""


class DmaCount(Register, offset=0x90, width=64):
    """How many bytes a transfer moves."""


class DmaCommand(Register, offset=0x98, width=64):
    start = Field(bit=0, doc="starts a transfer; 0 when it is done")
    to_memory = Field(bit=1, doc="1: out of the device, 0: into it")
    irq = Field(bit=2, doc="interrupt when it is done")


class Registers(RegisterFile):
    """The registers, all in BAR 0."""

    identification = Reg(Identification)
    liveness = Reg(Liveness)
    factorial = Reg(Factorial)
    status = Reg(Status)
    irq_status = Reg(IrqStatus)
    irq_acknowledge = Reg(IrqAcknowledge)
    dma_source = Reg(DmaSource)
    dma_destination = Reg(DmaDestination)
    dma_count = Reg(DmaCount)
    dma_command = Reg(DmaCommand)


REGISTERS, REGISTER_BAR = Registers, 0  # for ``pymmio regs``


class Edu(Owner):
    """An edu device; use it in a ``with`` statement.  For one thread."""

    def __init__(self, device: Device) -> None:
        """Drive ``device``, which stays the caller's; :meth:`open` is for all others."""
        self.device = device
        self.regs = Registers(device.region(0))
        device.name_registers(0, Registers)  # for whoever traces the device
        self._stack = ExitStack()
        self._may_be_busy = False
        found = self.regs.identification.read()
        if found.magic != 0xED:
            raise Unsupported(
                f"{device.name} is no edu device (identification {int(found):#010x})",
                hint='Use "sim:edu", or QEMU with -device edu',
            )
        self.version = (found.major, found.minor)

    @classmethod
    def open(cls, uri: str) -> Self:
        """Open the device that ``uri`` names; if it is no edu device it is given back."""
        with ExitStack() as stack:
            self = cls(stack.enter_context(open_device(uri)))
            self._stack = stack.pop_all()
        return self

    def is_alive(self) -> bool:
        """Ask the device to invert a number."""
        self.regs.liveness.write(0x1234_5678)
        return int(self.regs.liveness.read()) == 0xEDCB_A987

    # --- factorial --------------------------------------------------------------------

    def factorial(self, number: int, *, by_interrupt: bool = False) -> int:
        """Return number! modulo 2**32; poll until it is done, or sleep until the interrupt."""
        if by_interrupt:
            self._switch_interrupt_on()
        self.regs.status.write(irq_after_factorial=by_interrupt)
        self.regs.factorial.write(number)
        if by_interrupt:
            self._wait_for_interrupt(FACTORIAL_DONE)
        self.regs.status.wait_until(computing=0, timeout_s=WAIT_S)
        return int(self.regs.factorial.read())

    # --- DMA --------------------------------------------------------------------------

    def alloc(self, size: int = BUFFER_SIZE) -> DmaBuffer:
        """Allocate memory that the device can reach with its few address lines."""
        return self.device.dma.alloc(size, address_bits=ADDRESS_BITS)

    def copy_in(self, source: DmaBuffer, offset: int = 0, *, by_interrupt: bool = False) -> None:
        """Have the device copy ``source`` to ``offset`` of its own memory."""
        self._check(source, offset)
        self._transfer(source, source.iova, BUFFER_ADDRESS + offset, 0, by_interrupt)

    def copy_out(self, target: DmaBuffer, offset: int = 0, *, by_interrupt: bool = False) -> None:
        """Have the device fill ``target`` from ``offset`` of its own memory."""
        self._check(target, offset)
        self._transfer(target, BUFFER_ADDRESS + offset, target.iova, 1, by_interrupt)

    def _check(self, memory: DmaBuffer, offset: int) -> None:
        """Refuse what the device would do wrong."""
        if offset < 0 or offset + memory.size > BUFFER_SIZE:
            raise BadArgument(
                f"{memory.size} bytes at {offset} do not fit the {BUFFER_SIZE} of the device",
                hint="Give a part of the buffer: buffer[:100]",
            )
        if memory.iova + memory.size > 1 << ADDRESS_BITS:
            raise Unsupported(
                f"the device has {ADDRESS_BITS} address lines, iova {memory.iova:#x} needs more",
                hint="Use memory from Edu.alloc()",
            )

    def _transfer(
        self, memory: DmaBuffer, source: int, destination: int, to_memory: int, by_interrupt: bool
    ) -> None:
        if self._may_be_busy:  # with a transfer that was given up: its memory is others' by now
            self.regs.dma_command.wait_until(start=0, timeout_s=WAIT_S)
            self._may_be_busy = False
        if by_interrupt:
            self._switch_interrupt_on()
        self.device.enable_bus_master()  # without it the device may not reach memory
        memory.hold()  # from here on it cannot be freed by mistake
        try:
            self.regs.dma_source.write(source)
            self.regs.dma_destination.write(destination)
            self.regs.dma_count.write(memory.size)
            dma_wmb()  # the data is in memory before the device is told to fetch it
            self.regs.dma_command.write(start=1, to_memory=to_memory, irq=by_interrupt)
            if by_interrupt:
                self._wait_for_interrupt(DMA_DONE)
            self.regs.dma_command.wait_until(start=0, timeout_s=WAIT_S)
            dma_rmb()  # the device says that it is done before its data is looked at
        except BaseException:
            self._may_be_busy = True
            self.device.disable_bus_master()  # it may still be at work: keep it from the memory
            raise
        finally:
            memory.release()

    # --- interrupts -------------------------------------------------------------------

    def _switch_interrupt_on(self) -> None:
        irqs = self.device.irqs
        self._interrupt = irqs.msi[0] if len(irqs.msi) else irqs.intx[0]
        self.device.enable_bus_master()  # an MSI is a write to memory
        self._interrupt.try_take()  # forget what came before

    def _wait_for_interrupt(self, cause: int) -> None:
        """Sleep until the device raises ``cause``, and acknowledge what it raises."""
        self._interrupt.wait(timeout_s=WAIT_S)
        causes = int(self.regs.irq_status.read())
        self.regs.irq_acknowledge.write(causes)
        if not causes & cause:
            raise ProtocolError(f"{self.device.name}: interrupt for {causes:#x}, not {cause:#x}")

    # --- close ------------------------------------------------------------------------

    def close(self) -> None:
        """Give the device back; closing twice is fine."""
        self._stack.close()
