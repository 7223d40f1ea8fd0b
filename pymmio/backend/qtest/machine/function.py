"""Configuration spaces of the machine's PCI functions."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.backend.handle_config import ByWidth
from pymmio.backend.qtest.machine.layout import ECAM
from pymmio.backend.qtest.options import MachineKind
from pymmio.backend.qtest.protocol import QtestChannel

__all__ = ["ConfigAccess", "ConfigPorts", "Ecam", "PciFunction", "config_access"]

# PCI Local Bus 3.0 §3.2.2.3.2, configuration mechanism #1
_ADDRESS_PORT, _DATA_PORT = 0xCF8, 0xCFC
_ENABLE = 1 << 31

# Intel 3 Series Express Chipset (MCH) datasheet, PCIEXBAR in function 0:0.0
_PCIEXBAR, _PCIEXBAR_ENABLE = 0x60, 1


@dataclass(frozen=True, slots=True)
class ConfigPorts:
    """By two ports: the first 256 bytes of each function."""

    channel: QtestChannel

    def read(self, bus: int, device: int, offset: int, width: int) -> int:
        """Make one read."""
        index, port = self._place(bus, device, offset)
        return self.channel.read_indexed(_ADDRESS_PORT, index, port, width)

    def write(self, bus: int, device: int, offset: int, width: int, value: int) -> None:
        """Post one write."""
        index, port = self._place(bus, device, offset)
        self.channel.write_indexed(_ADDRESS_PORT, index, port, width, value)

    @staticmethod
    def _place(bus: int, device: int, offset: int) -> tuple[int, int]:
        return _ENABLE | bus << 16 | device << 11 | offset & 0xFC, _DATA_PORT + (offset & 3)


@dataclass(frozen=True, slots=True)
class Ecam:
    """By memory, PCI Express Base 5.0 §7.2.2: all 4096 bytes of each function."""

    channel: QtestChannel

    def read(self, bus: int, device: int, offset: int, width: int) -> int:
        """Make one read."""
        return self.channel.read(self._place(bus, device, offset), width)

    def write(self, bus: int, device: int, offset: int, width: int, value: int) -> None:
        """Post one write."""
        self.channel.write(self._place(bus, device, offset), width, value)

    @staticmethod
    def _place(bus: int, device: int, offset: int) -> int:
        return ECAM | bus << 20 | device << 15 | offset


ConfigAccess = ConfigPorts | Ecam


def config_access(channel: QtestChannel, kind: MachineKind) -> ConfigAccess:
    """Return the best way that the machine has; switches it on."""
    ports = ConfigPorts(channel)
    if kind is MachineKind.PC:
        return ports
    ports.write(0, 0, _PCIEXBAR, 4, ECAM | _PCIEXBAR_ENABLE)
    return Ecam(channel)


@dataclass(frozen=True, slots=True)
class PciFunction(ByWidth):
    """Function 0 of a device, as a :class:`~pymmio.pci.header.ConfigRegion`."""

    access: ConfigAccess
    bus: int
    device: int
    size: int = 256

    def read(self, offset: int, width: int) -> int:
        """Make one read of ``width`` (1, 2, 4) bytes."""
        return self.access.read(self.bus, self.device, offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Post one write."""
        self.access.write(self.bus, self.device, offset, width, value)
