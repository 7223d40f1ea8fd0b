"""Vendor-specific capability: a length, and bytes that mean what the vendor says."""

from __future__ import annotations

from collections.abc import Mapping

from pymmio.errors import OutOfBounds, ProtocolError
from pymmio.pci.caps.base import Capability

__all__ = ["VendorSpecific"]

_LENGTH = 0x02  # PCI Local Bus 3.0 §6.7 and appendix H: the byte after id and next pointer
_HEADER_SIZE = 3
_SPACE_END = 0x100


class VendorSpecific(Capability):
    """Vendor specific, capability id 09h (PCI Local Bus 3.0 appendix H).

    Nothing reads its body unasked: a vendor may have put side effects there (the access
    window of virtio 1.2 §4.1.4.9 does).
    """

    __slots__ = ()

    @property
    def length(self) -> int:
        """Bytes, the three of the header among them.  Raises ProtocolError if impossible."""
        length = self._read_number(_LENGTH, 1)
        if length < _HEADER_SIZE or self.offset + length > _SPACE_END:
            raise ProtocolError(
                f"vendor specific capability at {self.offset:#x} claims {length} bytes;"
                f" {_HEADER_SIZE} to {_SPACE_END - self.offset} are possible there"
            )
        return length

    def read8(self, at: int) -> int:
        """Read the byte ``at`` bytes into the capability (3 is the vendor's first)."""
        return self._read_inside(at, 1)

    def read16(self, at: int) -> int:
        """Read two bytes as one access, ``at`` bytes into the capability."""
        return self._read_inside(at, 2)

    def read32(self, at: int) -> int:
        """Read four bytes as one access, ``at`` bytes into the capability."""
        return self._read_inside(at, 4)

    def facts(self) -> Mapping[str, object]:
        return {"length": self.length}

    def _read_inside(self, at: int, width: int) -> int:
        length = self.length
        if at < 0 or at + width > length:
            raise OutOfBounds(
                f"{width} bytes at {at:#x} of a vendor specific capability of {length} bytes",
                region="vendor specific capability",
                offset=at,
                width=width,
            )
        return self._read_number(at, width)
