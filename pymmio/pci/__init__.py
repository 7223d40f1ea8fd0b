"""PCI: addresses, configuration space, BARs, capabilities, names, discovery."""

from __future__ import annotations

from pymmio.pci.address import PciAddress
from pymmio.pci.bars import Bar, BarKind, decode_bars, size_bars
from pymmio.pci.config import ConfigSpace
from pymmio.pci.header import Command, ConfigRegion, HeaderLayout, InterruptPin, Offset, Status
from pymmio.pci.match import HasPciIds, PciIds, PciMatch

__all__ = [
    "Bar",
    "BarKind",
    "Command",
    "ConfigRegion",
    "ConfigSpace",
    "HasPciIds",
    "HeaderLayout",
    "InterruptPin",
    "Offset",
    "PciAddress",
    "PciIds",
    "PciMatch",
    "Status",
    "decode_bars",
    "size_bars",
]
