"""MSI-X capability: how many vectors, and in which BARs its tables stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pymmio.errors import ProtocolError
from pymmio.pci.caps.base import Capability
from pymmio.regs import RO, RW, Field, Register

__all__ = [
    "MSIX_ENTRY_SIZE",
    "MsiX",
    "MsiXControl",
    "MsiXPendingPointer",
    "MsiXPlace",
    "MsiXTablePointer",
]

MSIX_ENTRY_SIZE = 16
"""Bytes of a table entry: address, upper address, data, control (PCI Local Bus 3.0 §6.8.2)."""

_PENDING_BITS_PER_QWORD = 64  # PCI Local Bus 3.0 §6.8.2.10
_LAST_BAR = 5  # BIR 6 and 7 are reserved, PCI Local Bus 3.0 §6.8.2.4
_POINTER_UNIT = 8  # tables are 8-byte aligned, the low three bits of the pointer are the BIR


class MsiXControl(Register, offset=0x02, width=16, access=RW):
    """Message Control for MSI-X (PCI Local Bus 3.0 §6.8.2.3)."""

    table_size = Field(bits=(0, 10), access=RO, doc="vectors minus 1")
    function_mask = Field(bit=14, doc="all vectors masked")
    enable = Field(bit=15)


class MsiXTablePointer(Register, offset=0x04, width=32, access=RO):
    """Table Offset and BIR (PCI Local Bus 3.0 §6.8.2.4)."""

    bir = Field(bits=(0, 2), doc="index of the BAR")
    offset = Field(bits=(3, 31), doc="offset in that BAR, in units of 8 bytes")


class MsiXPendingPointer(MsiXTablePointer, offset=0x08):
    """PBA Offset and BIR (PCI Local Bus 3.0 §6.8.2.5)."""


@dataclass(frozen=True, slots=True)
class MsiXPlace:
    """Where a table stands: index of the BAR, offset and size in bytes."""

    bar: int
    offset: int
    size: int

    def as_dict(self) -> dict[str, int]:
        """Return the values by name, ready for JSON."""
        return {"bar": self.bar, "offset": self.offset, "size": self.size}


class MsiX(Capability):
    """Message signalled interrupts, extended: id 11h (PCI Local Bus 3.0 §6.8.2).

    Under VFIO they are switched by the kernel, not here: this only tells.
    """

    __slots__ = ()

    @property
    def control(self) -> MsiXControl:
        return self._read(MsiXControl)

    @property
    def is_enabled(self) -> bool:
        return bool(self.control.enable)

    @property
    def is_masked(self) -> bool:
        """Whether the whole function is masked."""
        return bool(self.control.function_mask)

    @property
    def vectors(self) -> int:
        """How many vectors the table has, 1 to 2048."""
        return self.control.table_size + 1

    @property
    def table(self) -> MsiXPlace:
        """Where the vector table stands.  Raises ProtocolError for a reserved BAR index."""
        return self._place(MsiXTablePointer, self.vectors * MSIX_ENTRY_SIZE)

    @property
    def pending(self) -> MsiXPlace:
        """Where the pending bit array stands.  Raises ProtocolError likewise."""
        qwords = -(-self.vectors // _PENDING_BITS_PER_QWORD)
        return self._place(MsiXPendingPointer, qwords * 8)

    def check_fits(self, bar_sizes: Mapping[int, int]) -> None:
        """Raise ProtocolError unless both tables lie in BARs of these sizes, apart.

        ``bar_sizes`` maps BAR indices to bytes; a BAR that is missing has none.
        """
        places = {"table": self.table, "pending bits": self.pending}
        for what, place in places.items():
            size = bar_sizes.get(place.bar, 0)
            if place.offset + place.size > size:
                raise ProtocolError(
                    f"MSI-X {what}: {place.size} bytes at {place.offset:#x} of BAR{place.bar},"
                    f" which has {size:#x} bytes"
                )
        table, pending = places.values()
        if (
            table.bar == pending.bar
            and table.offset < pending.offset + pending.size
            and pending.offset < table.offset + table.size
        ):
            raise ProtocolError(f"MSI-X table {table} and pending bits {pending} overlap")

    def facts(self) -> Mapping[str, object]:
        return {
            "enabled": self.is_enabled,
            "masked": self.is_masked,
            "vectors": self.vectors,
            "table": self.table.as_dict(),
            "pending": self.pending.as_dict(),
        }

    def _place(self, register: type[MsiXTablePointer], size: int) -> MsiXPlace:
        pointer = self._read(register)
        if pointer.bir > _LAST_BAR:
            raise ProtocolError(
                f"MSI-X at {self.offset:#x}: {register.spec.name} names BAR {pointer.bir},"
                " which is reserved"
            )
        return MsiXPlace(pointer.bir, pointer.offset * _POINTER_UNIT, size)
