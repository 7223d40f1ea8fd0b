"""Address translation services: a function that keeps translations of the IOMMU itself."""

from __future__ import annotations

from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts
from pymmio.regs import RO, RW, Field, Register

__all__ = ["Ats", "AtsCapability", "AtsControl"]

_DEPTH_OF_ZERO = 32  # PCI Express 5.0 §10.5.1.2
_SMALLEST_UNIT = 4096  # PCI Express 5.0 §10.5.1.3


class AtsCapability(Register, offset=0x04, width=16, access=RO):
    """ATS Capability (PCI Express 5.0 §10.5.1.2)."""

    queue_depth = Field(bits=(0, 4), doc="invalidate requests it takes at once, 0 is 32")
    page_aligned_request = Field(bit=5)
    global_invalidate = Field(bit=6)


class AtsControl(Register, offset=0x06, width=16, access=RW):
    """ATS Control (PCI Express 5.0 §10.5.1.3)."""

    smallest_translation_unit = Field(bits=(0, 4), doc="4096 bytes << n")
    enable = Field(bit=15)


class Ats(ExtendedCapability):
    """Address translation services, extended capability 000Fh (PCI Express 5.0 §10.5.1)."""

    __slots__ = ()

    @property
    def capability(self) -> AtsCapability:
        return self._read(AtsCapability)

    @property
    def control(self) -> AtsControl:
        return self._read(AtsControl)

    @property
    def is_enabled(self) -> bool:
        """Whether it may ask for translations, and send packets that bypass the IOMMU's."""
        return bool(self.control.enable)

    @property
    def queue_depth(self) -> int:
        """How many invalidate requests it takes at once, 1 to 32."""
        return self.capability.queue_depth or _DEPTH_OF_ZERO

    @property
    def smallest_translation_unit(self) -> int:
        """Bytes."""
        return _SMALLEST_UNIT << self.control.smallest_translation_unit

    def facts(self) -> Facts:
        capability = self.capability
        return {
            "enabled": self.is_enabled,
            "queue_depth": self.queue_depth,
            "page_aligned_request": bool(capability.page_aligned_request),
            "global_invalidate": bool(capability.global_invalidate),
            "smallest_translation_unit": self.smallest_translation_unit,
        }
