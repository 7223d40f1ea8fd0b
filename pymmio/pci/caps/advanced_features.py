"""Advanced features: function-level reset for functions of conventional PCI."""

from __future__ import annotations

from pymmio.pci.caps.base import Capability
from pymmio.pci.view import Facts
from pymmio.regs import RO, Field, Register

__all__ = ["AdvancedFeatures", "AfCapabilities", "AfLength", "AfStatus"]

_LENGTH = 6  # Advanced Capabilities for Conventional PCI ECN


class AfLength(Register, offset=0x02, width=8, access=RO):
    """Length of the capability (Advanced Capabilities for Conventional PCI ECN)."""

    length = Field(bits=(0, 7), doc="bytes, always 6")


class AfCapabilities(Register, offset=0x03, width=8, access=RO):
    """AF Capabilities (Advanced Capabilities for Conventional PCI ECN)."""

    transactions_pending = Field(bit=0, doc="AF Status tells whether some are under way")
    flr = Field(bit=1, doc="function-level reset")


class AfStatus(Register, offset=0x05, width=8, access=RO):
    """AF Status (Advanced Capabilities for Conventional PCI ECN)."""

    transactions_pending = Field(bit=0)


class AdvancedFeatures(Capability):
    """Advanced features, capability id 13h (Advanced Capabilities for Conventional PCI ECN)."""

    __slots__ = ()

    @property
    def capabilities(self) -> AfCapabilities:
        """What it has.  Raises ProtocolError where its length is not the only one defined."""
        length = self._read(AfLength).length
        if length != _LENGTH:
            raise self._refused(f"it claims {length} bytes, {_LENGTH} is the only length")
        return self._read(AfCapabilities)

    @property
    def has_flr(self) -> bool:
        """Whether the function can be reset by itself."""
        return bool(self.capabilities.flr)

    def facts(self) -> Facts:
        return {
            "flr": self.has_flr,
            "transactions_pending": bool(self._read(AfStatus).transactions_pending),
        }
