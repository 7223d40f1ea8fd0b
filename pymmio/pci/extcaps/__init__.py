"""PCI Express extended capabilities: the walk through the list, one module for each family."""

from __future__ import annotations

from pymmio.pci.extcaps.acs import Acs
from pymmio.pci.extcaps.aer import Aer
from pymmio.pci.extcaps.ats import Ats
from pymmio.pci.extcaps.base import ExtendedCapability, ExtendedCapabilityId
from pymmio.pci.extcaps.l1_substates import L1Substates
from pymmio.pci.extcaps.ltr import Ltr
from pymmio.pci.extcaps.ptm import Ptm
from pymmio.pci.extcaps.resizable_bar import ResizableBar, ResizableBarEntry
from pymmio.pci.extcaps.serial_number import DeviceSerialNumber
from pymmio.pci.extcaps.sriov import SrIov
from pymmio.pci.extcaps.walk import iter_extended_capabilities, walk_extended_capabilities

__all__ = [
    "Acs",
    "Aer",
    "Ats",
    "DeviceSerialNumber",
    "ExtendedCapability",
    "ExtendedCapabilityId",
    "L1Substates",
    "Ltr",
    "Ptm",
    "ResizableBar",
    "ResizableBarEntry",
    "SrIov",
    "iter_extended_capabilities",
    "walk_extended_capabilities",
]
