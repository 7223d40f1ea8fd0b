"""The ivshmem device (QEMU, docs/specs/ivshmem-spec.rst, revision 1)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from pymmio import Device, Region, open_device
from pymmio.dax import DaxMemory, Durability, memory_of
from pymmio.errors import BadArgument, Unsupported
from pymmio.irq import Interrupt
from pymmio.owner import Owner
from pymmio.regs import RO, RW, WO, Field, Reg, Register, RegisterFile

__all__ = ["REGISTERS", "Ivshmem"]

_REGISTER_BAR, _MEMORY_BAR = 0, 2
_REVISION = 0x08
_LAST_PEER, _LAST_VECTOR = 0xFFFF, 0xFFFF


class IntrMask(Register, offset=0x00, width=32, access=RW):
    """Interrupt mask; for INTx, which no device of revision 1 has."""

    value = Field(bits=(0, 31))


class IVPosition(Register, offset=0x08, width=32, access=RO):
    """The id of this peer; 0 also where there are no interrupts."""

    value = Field(bits=(0, 31))


class Doorbell(Register, offset=0x0C, width=32, access=WO):
    """Interrupts a peer; a doorbell of nobody is ignored without a word."""

    vector = Field(bits=(0, 15))
    peer = Field(bits=(16, 31))


class REGISTERS(RegisterFile):
    """BAR 0.  IntrStatus (4) is left out: reading it clears it, and only INTx sets it."""

    intr_mask = Reg(IntrMask)
    iv_position = Reg(IVPosition)
    doorbell = Reg(Doorbell)


class Ivshmem(Owner):
    """A device of either kind: plain (memory only) or with doorbells.

    The device does not say who the others are; peers agree about that in the memory
    (:class:`~pymmio_drivers.ivshmem.Channel` does).  Close it, or use it in a ``with`` statement.
    """

    def __init__(self, device: Device) -> None:
        """Not for callers: use :meth:`open`."""
        self.device = device
        self.name = device.name
        if device.config.read8(_REVISION) < 1:
            raise Unsupported(
                f"{device.name} is an ivshmem device of revision 0",
                hint="With QEMU use ivshmem-plain or ivshmem-doorbell in place of ivshmem",
            )
        if _MEMORY_BAR not in device.regions:
            raise Unsupported(f"{device.name} has no memory in BAR {_MEMORY_BAR}")
        self._regs = REGISTERS(device.region(_REGISTER_BAR))
        self.region: Region = device.region(_MEMORY_BAR)  #: the memory, for single accesses
        size = self.region.size
        self.memory: DaxMemory = memory_of(  #: the memory, for copies
            self.region.window(0, size), name=f"{device.name} memory", durability=Durability.NONE
        )
        self._vectors = len(device.irqs.msix)

    @classmethod
    def open(cls, device: str | Device) -> Self:
        """Open a device by URI, or take an open one, which is closed with this."""
        with ExitStack() as undo:
            if not isinstance(device, Device):
                device = open_device(device)
                undo.callback(device.close)
            made = cls(device)
            made._start()
            undo.pop_all()
        return made

    def _start(self) -> None:
        if self.has_doorbell:
            self.device.enable_bus_master()  # messages of the device are writes of it
            self.device.irqs.msix.enable(self._vectors)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self.memory.size

    @property
    def has_doorbell(self) -> bool:
        """Whether peers can interrupt each other."""
        return self._vectors > 0

    @property
    def position(self) -> int | None:
        """The id of this peer; None for a plain device, which has none."""
        return int(self._regs.iv_position.read()) if self.has_doorbell else None

    @property
    def vectors(self) -> tuple[Interrupt, ...]:
        """The interrupts that peers may ring: wait for them, or await them."""
        return tuple(self.device.irqs.msix.enable(self._vectors)) if self.has_doorbell else ()

    def ring(self, peer: int, vector: int = 0) -> None:
        """Interrupt a peer.  Nothing tells whether there is one: a wrong doorbell is ignored."""
        if not self.has_doorbell:
            raise Unsupported(
                f"{self.name} has no doorbells", hint="With QEMU use ivshmem-doorbell"
            )
        if not (0 <= peer <= _LAST_PEER and 0 <= vector <= _LAST_VECTOR):
            raise BadArgument(f"peer {peer}, vector {vector}", hint="Both have 16 bits")
        self._regs.doorbell.write(Doorbell(peer=peer, vector=vector))

    def close(self) -> None:
        """Give everything back; closing twice is fine."""
        with ExitStack() as stack:
            stack.callback(self.device.close)
            stack.callback(self.memory.close)

    def __repr__(self) -> str:
        kind = f"peer {self.position}" if self.has_doorbell else "plain"
        return f"<Ivshmem {self.name}: {self.size:#x} bytes, {kind}>"
