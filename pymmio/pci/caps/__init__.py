"""PCI capabilities: the walk through the list, and one module for each family."""

from __future__ import annotations

from pymmio.pci.caps.advanced_features import AdvancedFeatures
from pymmio.pci.caps.base import Capability, CapabilityId
from pymmio.pci.caps.link import Aspm, Link, LinkState
from pymmio.pci.caps.msi import Msi
from pymmio.pci.caps.msix import MsiX, MsiXPlace
from pymmio.pci.caps.pcie import PcieType, PciExpress
from pymmio.pci.caps.power_management import PowerManagement, PowerState
from pymmio.pci.caps.slot import Slot
from pymmio.pci.caps.vendor import VendorSpecific
from pymmio.pci.caps.walk import iter_capabilities, walk_capabilities

__all__ = [
    "AdvancedFeatures",
    "Aspm",
    "Capability",
    "CapabilityId",
    "Link",
    "LinkState",
    "Msi",
    "MsiX",
    "MsiXPlace",
    "PciExpress",
    "PcieType",
    "PowerManagement",
    "PowerState",
    "Slot",
    "VendorSpecific",
    "iter_capabilities",
    "walk_capabilities",
]
