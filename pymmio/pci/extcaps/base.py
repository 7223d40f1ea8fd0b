"""Extended capabilities, in the upper part of PCI Express configuration space: ids, basics."""

from __future__ import annotations

import enum

from pymmio.pci.header import ConfigRegion
from pymmio.pci.view import CapabilityView
from pymmio.regs import RO, Field, Register

__all__ = [
    "ExtendedCapability",
    "ExtendedCapabilityHeader",
    "ExtendedCapabilityId",
]


class ExtendedCapabilityId(enum.IntEnum):
    """Extended capability ids, PCI Code and ID Assignment 1.11 §3."""

    NULL = 0x00
    AER = 0x01
    VIRTUAL_CHANNEL = 0x02
    DEVICE_SERIAL_NUMBER = 0x03
    POWER_BUDGETING = 0x04
    ROOT_COMPLEX_LINK_DECLARATION = 0x05
    ROOT_COMPLEX_INTERNAL_LINK = 0x06
    EVENT_COLLECTOR_ASSOCIATION = 0x07
    MULTI_FUNCTION_VIRTUAL_CHANNEL = 0x08
    VIRTUAL_CHANNEL_9 = 0x09
    RCRB_HEADER = 0x0A
    VENDOR_SPECIFIC = 0x0B
    CONFIGURATION_ACCESS_CORRELATION = 0x0C
    ACS = 0x0D
    ARI = 0x0E
    ATS = 0x0F
    SR_IOV = 0x10
    MR_IOV = 0x11
    MULTICAST = 0x12
    PAGE_REQUEST = 0x13
    RESIZABLE_BAR = 0x15
    DYNAMIC_POWER_ALLOCATION = 0x16
    TPH_REQUESTER = 0x17
    LTR = 0x18
    SECONDARY_PCIE = 0x19
    PMUX = 0x1A
    PASID = 0x1B
    LN_REQUESTER = 0x1C
    DPC = 0x1D
    L1_PM_SUBSTATES = 0x1E
    PTM = 0x1F
    M_PCIE = 0x20
    FRS_QUEUEING = 0x21
    READINESS_TIME = 0x22
    DVSEC = 0x23
    VF_RESIZABLE_BAR = 0x24
    DATA_LINK_FEATURE = 0x25
    PHYSICAL_LAYER_16GT = 0x26
    LANE_MARGINING = 0x27
    HIERARCHY_ID = 0x28
    NPEM = 0x29
    PHYSICAL_LAYER_32GT = 0x2A
    ALTERNATE_PROTOCOL = 0x2B
    SFI = 0x2C
    SHADOW_FUNCTIONS = 0x2D
    DOE = 0x2E
    DEVICE_3 = 0x2F
    IDE = 0x30


# Names that are not the member's in lower case.
_NAMES = {
    ExtendedCapabilityId.VIRTUAL_CHANNEL_9: "virtual channel (with multi-function)",
    ExtendedCapabilityId.RCRB_HEADER: "RCRB header",
    ExtendedCapabilityId.SR_IOV: "SR-IOV",
    ExtendedCapabilityId.MR_IOV: "MR-IOV",
    ExtendedCapabilityId.RESIZABLE_BAR: "resizable BAR",
    ExtendedCapabilityId.TPH_REQUESTER: "TPH requester",
    ExtendedCapabilityId.SECONDARY_PCIE: "secondary PCI Express",
    ExtendedCapabilityId.LN_REQUESTER: "LN requester",
    ExtendedCapabilityId.L1_PM_SUBSTATES: "L1 PM substates",
    ExtendedCapabilityId.M_PCIE: "M-PCIe",
    ExtendedCapabilityId.FRS_QUEUEING: "FRS queueing",
    ExtendedCapabilityId.VF_RESIZABLE_BAR: "VF resizable BAR",
    ExtendedCapabilityId.PHYSICAL_LAYER_16GT: "physical layer 16 GT/s",
    ExtendedCapabilityId.PHYSICAL_LAYER_32GT: "physical layer 32 GT/s",
}
_NAMES |= {
    acronym: acronym.name
    for acronym in (
        ExtendedCapabilityId.AER,
        ExtendedCapabilityId.ACS,
        ExtendedCapabilityId.ARI,
        ExtendedCapabilityId.ATS,
        ExtendedCapabilityId.LTR,
        ExtendedCapabilityId.PMUX,
        ExtendedCapabilityId.PASID,
        ExtendedCapabilityId.DPC,
        ExtendedCapabilityId.PTM,
        ExtendedCapabilityId.DVSEC,
        ExtendedCapabilityId.NPEM,
        ExtendedCapabilityId.SFI,
        ExtendedCapabilityId.DOE,
        ExtendedCapabilityId.IDE,
    )
}


class ExtendedCapabilityHeader(Register, width=32, access=RO):
    """The first dword of each extended capability (PCI Express 5.0 §7.6.3)."""

    id = Field(bits=(0, 15), enum=ExtendedCapabilityId)
    version = Field(bits=(16, 19))
    next = Field(bits=(20, 31), doc="offset of the next one, 0 for none")


class ExtendedCapability(CapabilityView):
    """An extended capability; this class for those that have no other."""

    __slots__ = ("version",)

    space_end = 0x1000  # PCI Express 5.0 §7.2.2

    def __init__(self, config: ConfigRegion, offset: int, capability_id: int, version: int) -> None:
        super().__init__(config, offset, capability_id)
        self.version = version

    @property
    def name(self) -> str:
        """The capability's name, or its number where it has none."""
        return extended_capability_name(self.id)

    def _identity(self) -> dict[str, object]:
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "offset": self.offset,
        }

    def _where(self) -> str:
        return f"{self.offset:03x} v{self.version}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} id={self.id:#06x} offset={self.offset:#05x}>"


def extended_capability_name(capability_id: int) -> str:
    """Return the name of an extended capability id as people write it."""
    try:
        member = ExtendedCapabilityId(capability_id)
    except ValueError:
        return f"extended capability {capability_id:#06x}"
    return _NAMES.get(member, member.name.replace("_", " ").lower())
