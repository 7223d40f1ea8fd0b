"""PCI: addresses, configuration space, BARs, capabilities, names, discovery."""

from __future__ import annotations

from pymmio.pci.address import PciAddress
from pymmio.pci.bars import Bar, BarKind, decode_bars, size_bars
from pymmio.pci.capability_list import CapabilityList
from pymmio.pci.caps import (
    AdvancedFeatures,
    Aspm,
    Capability,
    CapabilityId,
    Link,
    LinkState,
    Msi,
    MsiX,
    MsiXPlace,
    PcieType,
    PciExpress,
    PowerManagement,
    PowerState,
    Slot,
    VendorSpecific,
)
from pymmio.pci.config import ConfigSpace
from pymmio.pci.discover import PciDeviceInfo, PciDeviceList, PciResource, discover
from pymmio.pci.dump import hex_dump
from pymmio.pci.extcaps import (
    Acs,
    Aer,
    Ats,
    DeviceSerialNumber,
    ExtendedCapability,
    ExtendedCapabilityId,
    L1Substates,
    Ltr,
    Ptm,
    ResizableBar,
    ResizableBarEntry,
    SrIov,
)
from pymmio.pci.header import Command, ConfigRegion, HeaderLayout, InterruptPin, Offset, Status
from pymmio.pci.ids import PciNames, system_names
from pymmio.pci.match import HasPciIds, PciIds, PciMatch
from pymmio.pci.survey import CapabilitySurvey, survey_capabilities

__all__ = [
    "Acs",
    "AdvancedFeatures",
    "Aer",
    "Aspm",
    "Ats",
    "Bar",
    "BarKind",
    "Capability",
    "CapabilityId",
    "CapabilityList",
    "CapabilitySurvey",
    "Command",
    "ConfigRegion",
    "ConfigSpace",
    "DeviceSerialNumber",
    "ExtendedCapability",
    "ExtendedCapabilityId",
    "HasPciIds",
    "HeaderLayout",
    "InterruptPin",
    "L1Substates",
    "Link",
    "LinkState",
    "Ltr",
    "Msi",
    "MsiX",
    "MsiXPlace",
    "Offset",
    "PciAddress",
    "PciDeviceInfo",
    "PciDeviceList",
    "PciExpress",
    "PciIds",
    "PciMatch",
    "PciNames",
    "PciResource",
    "PcieType",
    "PowerManagement",
    "PowerState",
    "Ptm",
    "ResizableBar",
    "ResizableBarEntry",
    "Slot",
    "SrIov",
    "Status",
    "VendorSpecific",
    "decode_bars",
    "discover",
    "hex_dump",
    "size_bars",
    "survey_capabilities",
    "system_names",
]
