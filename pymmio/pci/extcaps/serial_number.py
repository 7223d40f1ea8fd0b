"""Device serial number: an EUI-64 that names this one piece of hardware."""

from __future__ import annotations

from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts

__all__ = ["DeviceSerialNumber"]

_LOWER = 0x04  # PCI Express 5.0 §7.9.3.2
_UPPER = 0x08


class DeviceSerialNumber(ExtendedCapability):
    """Device serial number, extended capability 0003h (PCI Express 5.0 §7.9.3)."""

    __slots__ = ()

    @property
    def number(self) -> int:
        """The 64 bits (two accesses)."""
        return self._read_number(_UPPER, 4) << 32 | self._read_number(_LOWER, 4)

    @property
    def text(self) -> str:
        """The number as ``lspci`` writes it: eight bytes, the most significant one first."""
        return self.number.to_bytes(8, "big").hex("-")

    def facts(self) -> Facts:
        return {"serial_number": self.text}
