"""PCI: addresses, configuration space, BARs, capabilities, names, discovery."""

from __future__ import annotations

from pymmio.pci.address import PciAddress
from pymmio.pci.bars import Bar, BarKind, decode_bars, size_bars
from pymmio.pci.caps import (
    Capability,
    CapabilityId,
    Link,
    Msi,
    MsiX,
    MsiXPlace,
    PcieType,
    PciExpress,
    PowerManagement,
    PowerState,
    VendorSpecific,
)
from pymmio.pci.config import ConfigSpace
from pymmio.pci.discover import PciDeviceInfo, PciResource, discover
from pymmio.pci.dump import hex_dump
from pymmio.pci.extended import ExtendedCapability, ExtendedCapabilityId
from pymmio.pci.header import Command, ConfigRegion, HeaderLayout, InterruptPin, Offset, Status
from pymmio.pci.ids import PciNames, system_names
from pymmio.pci.match import HasPciIds, PciIds, PciMatch

__all__ = [
    "Bar",
    "BarKind",
    "Capability",
    "CapabilityId",
    "Command",
    "ConfigRegion",
    "ConfigSpace",
    "ExtendedCapability",
    "ExtendedCapabilityId",
    "HasPciIds",
    "HeaderLayout",
    "InterruptPin",
    "Link",
    "Msi",
    "MsiX",
    "MsiXPlace",
    "Offset",
    "PciAddress",
    "PciDeviceInfo",
    "PciExpress",
    "PciIds",
    "PciMatch",
    "PcieType",
    "PciNames",
    "PciResource",
    "PowerManagement",
    "PowerState",
    "Status",
    "VendorSpecific",
    "decode_bars",
    "discover",
    "hex_dump",
    "size_bars",
    "system_names",
]
