"""MSI capability: how many message interrupts, and how they are told to the function."""

from __future__ import annotations

from collections.abc import Mapping

from pymmio.errors import ProtocolError
from pymmio.pci.caps.base import Capability
from pymmio.regs import RO, RW, Field, Register

__all__ = ["Msi", "MsiControl"]

_ADDRESS = 0x04  # PCI Local Bus 3.0 §6.8.1.4
_UPPER_ADDRESS = 0x08  # PCI Local Bus 3.0 §6.8.1.5
_DATA_32, _DATA_64 = 0x08, 0x0C  # PCI Local Bus 3.0 §6.8.1.6
_MASK_32, _MASK_64 = 0x0C, 0x10  # PCI Local Bus 3.0 §6.8.1.7
_PENDING_32, _PENDING_64 = 0x10, 0x14  # PCI Local Bus 3.0 §6.8.1.8

_MAX_MULTIPLE_MESSAGE = 5  # 32 vectors; 6 and 7 are reserved, PCI Local Bus 3.0 §6.8.1.3


class MsiControl(Register, offset=0x02, width=16, access=RW):
    """Message Control for MSI (PCI Local Bus 3.0 §6.8.1.3)."""

    enable = Field(bit=0)
    multiple_message_capable = Field(bits=(1, 3), access=RO, doc="log2 of the vectors it wants")
    multiple_message_enable = Field(bits=(4, 6), doc="log2 of those it was given")
    address_64 = Field(bit=7, access=RO, doc="64-bit message address")
    per_vector_masking = Field(bit=8, access=RO)


class Msi(Capability):
    """Message signalled interrupts, capability id 05h (PCI Local Bus 3.0 §6.8.1).

    Under VFIO they are switched by the kernel, not here: this only tells.
    """

    __slots__ = ()

    @property
    def control(self) -> MsiControl:
        return self._read(MsiControl)

    @property
    def is_enabled(self) -> bool:
        return bool(self.control.enable)

    @property
    def is_64bit(self) -> bool:
        return bool(self.control.address_64)

    @property
    def has_per_vector_masking(self) -> bool:
        return bool(self.control.per_vector_masking)

    @property
    def vectors(self) -> int:
        """How many vectors the function can use.  Raises ProtocolError for reserved codes."""
        return self._count("multiple message capable", self.control.multiple_message_capable)

    @property
    def enabled_vectors(self) -> int:
        """How many vectors the function was given; they count while MSI is enabled."""
        return self._count("multiple message enable", self.control.multiple_message_enable)

    @property
    def address(self) -> int:
        """The message address (two accesses where it has 64 bits)."""
        low = self._read_number(_ADDRESS, 4)
        return self._read_number(_UPPER_ADDRESS, 4) << 32 | low if self.is_64bit else low

    @property
    def data(self) -> int:
        """The message data of vector 0."""
        return self._read_number(_DATA_64 if self.is_64bit else _DATA_32, 2)

    @property
    def mask_bits(self) -> int | None:
        """One bit a vector that is masked; None where vectors cannot be masked."""
        control = self.control
        if not control.per_vector_masking:
            return None
        return self._read_number(_MASK_64 if control.address_64 else _MASK_32, 4)

    @property
    def pending_bits(self) -> int | None:
        """One bit a masked vector that waits; None where vectors cannot be masked."""
        control = self.control
        if not control.per_vector_masking:
            return None
        return self._read_number(_PENDING_64 if control.address_64 else _PENDING_32, 4)

    def facts(self) -> Mapping[str, object]:
        return {
            "enabled": self.is_enabled,
            "vectors": self.vectors,
            "enabled_vectors": self.enabled_vectors,
            "is_64bit": self.is_64bit,
            "per_vector_masking": self.has_per_vector_masking,
            "address": self.address,
            "data": self.data,
        }

    def _count(self, what: str, code: int) -> int:
        if code > _MAX_MULTIPLE_MESSAGE:
            raise ProtocolError(f"MSI at {self.offset:#x}: {what} reads {code}, which is reserved")
        return 1 << code
