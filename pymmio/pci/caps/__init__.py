"""PCI capabilities: the walk through the list, and one module for each family."""

from __future__ import annotations

from pymmio.pci.caps.base import Capability, CapabilityId
from pymmio.pci.caps.msi import Msi
from pymmio.pci.caps.msix import MsiX, MsiXPlace
from pymmio.pci.caps.pcie import Link, PcieType, PciExpress
from pymmio.pci.caps.power_management import PowerManagement, PowerState
from pymmio.pci.caps.vendor import VendorSpecific
from pymmio.pci.caps.walk import walk_capabilities

__all__ = [
    "Capability",
    "CapabilityId",
    "Link",
    "Msi",
    "MsiX",
    "MsiXPlace",
    "PciExpress",
    "PcieType",
    "PowerManagement",
    "PowerState",
    "VendorSpecific",
    "walk_capabilities",
]
