"""The bridge that the device is behind: what of the machine's addresses reaches it, and its reset.

Source: PCI-to-PCI Bridge Architecture 1.2, chapter 3.
"""

from __future__ import annotations

from pymmio.backend.qtest.machine.function import PciFunction
from pymmio.backend.qtest.machine.layout import IO_WINDOW, MEMORY_WINDOW, PREFETCHABLE_WINDOW
from pymmio.pci.header import Command, Offset

__all__ = ["DEVICE_BUS", "reset_bus", "set_up_port"]

DEVICE_BUS = 1

_BUSES = 0x18  # primary, secondary, subordinate bus number, latency timer
_IO, _IO_UPPER = 0x1C, 0x30
_MEMORY = 0x20
_PREFETCHABLE, _PREFETCHABLE_BASE_UPPER, _PREFETCHABLE_LIMIT_UPPER = 0x24, 0x28, 0x2C
_CONTROL = 0x3E
_SECONDARY_BUS_RESET = 1 << 6  # §3.2.5.18


def set_up_port(port: PciFunction) -> None:
    """Open the windows, number the bus behind it, let accesses through both ways."""
    port.write32(_BUSES, DEVICE_BUS << 16 | DEVICE_BUS << 8)
    low, high = IO_WINDOW
    port.write16(_IO, (high >> 8 & 0xF0) << 8 | low >> 8 & 0xF0)
    port.write32(_IO_UPPER, high >> 16 << 16 | low >> 16)
    low, high = MEMORY_WINDOW
    port.write32(_MEMORY, (high >> 16 & 0xFFF0) << 16 | low >> 16 & 0xFFF0)
    low, high = PREFETCHABLE_WINDOW
    port.write32(_PREFETCHABLE, (high >> 16 & 0xFFF0) << 16 | low >> 16 & 0xFFF0)
    port.write32(_PREFETCHABLE_BASE_UPPER, low >> 32)
    port.write32(_PREFETCHABLE_LIMIT_UPPER, high >> 32)
    port.write16(Offset.COMMAND, Command.IO | Command.MEMORY | Command.BUS_MASTER)


def reset_bus(port: PciFunction) -> None:
    """Reset the device behind the port; posted."""
    control = port.read16(_CONTROL)
    port.write16(_CONTROL, control | _SECONDARY_BUS_RESET)
    port.write16(_CONTROL, control & ~_SECONDARY_BUS_RESET)
