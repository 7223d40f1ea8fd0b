"""Capabilities of the list that starts in the header: their ids, and what they share."""

from __future__ import annotations

import enum

from pymmio.pci.view import CapabilityView

__all__ = ["Capability", "CapabilityId"]


class CapabilityId(enum.IntEnum):
    """Capability ids, PCI Local Bus 3.0 appendix H; PCI Code and ID Assignment 1.11 §2."""

    NULL = 0x00
    POWER_MANAGEMENT = 0x01
    AGP = 0x02
    VPD = 0x03
    SLOT_ID = 0x04
    MSI = 0x05
    COMPACT_PCI_HOT_SWAP = 0x06
    PCI_X = 0x07
    HYPERTRANSPORT = 0x08
    VENDOR_SPECIFIC = 0x09
    DEBUG_PORT = 0x0A
    COMPACT_PCI_RESOURCE_CONTROL = 0x0B
    HOT_PLUG = 0x0C
    BRIDGE_SUBSYSTEM_ID = 0x0D
    AGP_8X = 0x0E
    SECURE_DEVICE = 0x0F
    PCI_EXPRESS = 0x10
    MSI_X = 0x11
    SATA = 0x12
    ADVANCED_FEATURES = 0x13
    ENHANCED_ALLOCATION = 0x14
    FLATTENING_PORTAL_BRIDGE = 0x15


class Capability(CapabilityView):
    """A capability in the list of the header; this class for those that have no other."""

    __slots__ = ()

    space_end = 0x100  # PCI Local Bus 3.0 §6.7: the list lies in the first 256 bytes

    @property
    def name(self) -> str:
        """The capability's name, or its number where it has none."""
        return capability_name(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} id={self.id:#04x} offset={self.offset:#04x}>"


def capability_name(capability_id: int) -> str:
    """Return the name of a capability id as people write it."""
    try:
        member = CapabilityId(capability_id)
    except ValueError:
        return f"capability {capability_id:#04x}"
    return _NAMES.get(member, member.name.replace("_", " ").lower())


_NAMES = {
    CapabilityId.AGP: "AGP",
    CapabilityId.VPD: "VPD",
    CapabilityId.MSI: "MSI",
    CapabilityId.MSI_X: "MSI-X",
    CapabilityId.PCI_X: "PCI-X",
    CapabilityId.HYPERTRANSPORT: "HyperTransport",
    CapabilityId.PCI_EXPRESS: "PCI Express",
    CapabilityId.SATA: "SATA",
    CapabilityId.AGP_8X: "AGP 8x",
    CapabilityId.COMPACT_PCI_HOT_SWAP: "CompactPCI hot swap",
    CapabilityId.COMPACT_PCI_RESOURCE_CONTROL: "CompactPCI resource control",
}
