"""What sysfs says about a PCI function."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from pymmio.backend.sysfs.machine import Machine
from pymmio.errors import DeviceNotFound, ProtocolError
from pymmio.pci.address import PciAddress

__all__ = ["HARMLESS_DRIVERS", "BarFile", "SysfsFunction"]

# Resource flags that the kernel prints: Linux 6.12 include/linux/ioport.h.
_IORESOURCE_IO = 0x0000_0100
_IORESOURCE_MEM = 0x0000_0200

HARMLESS_DRIVERS = frozenset({"pci-stub"})
"""Drivers that hold a device for nobody (Linux 6.12, drivers/pci/pci-stub.c)."""


@dataclass(frozen=True, slots=True)
class BarFile:
    """A BAR that has a file: ``address`` is the processor's, ``size`` in bytes."""

    index: int
    address: int
    size: int
    is_port: bool = False
    has_wc: bool = False  #: it has a second file, which maps it write-combined

    @property
    def page_offset(self) -> int:
        """Where in its first page the BAR starts; not 0 for some that are smaller than a page."""
        return 0 if self.is_port else self.address % mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class SysfsFunction:
    """A PCI function as sysfs shows it at one moment."""

    address: PciAddress
    driver: str | None
    bars: tuple[BarFile, ...]

    @classmethod
    def look_up(cls, machine: Machine, address: PciAddress) -> SysfsFunction:
        """Read what sysfs says.  Raises DeviceNotFound."""
        path = directory(address)
        if not machine.exists(path):
            raise DeviceNotFound(
                f"no PCI device {address}",
                hint="See `pymmio list` for those that exist; a device that was removed "
                "comes back with `echo 1 > /sys/bus/pci/rescan`",
            )
        try:
            return cls(
                address=address,
                driver=machine.link_name(f"{path}/driver"),
                bars=_bars(machine, path),
            )
        except FileNotFoundError as error:
            raise DeviceNotFound(
                f"PCI device {address} vanished while it was looked at",
                hint="It was removed; see `pymmio list`",
            ) from error

    @property
    def owner(self) -> str | None:
        """The driver that uses the device, None where nobody does."""
        return None if self.driver in HARMLESS_DRIVERS else self.driver


def directory(address: PciAddress) -> str:
    """Return the directory of a function in sysfs."""
    return f"/sys/bus/pci/devices/{address}"


def _bars(machine: Machine, path: str) -> tuple[BarFile, ...]:
    """Read the file ``resource``: a line of first, last, flags for each BAR."""
    found = []
    for index, line in enumerate(machine.read_text(f"{path}/resource").splitlines()[:6]):
        try:
            first, last, flags = (int(word, 16) for word in line.split())
        except ValueError as error:
            raise ProtocolError(f"{path}/resource: line {index} is {line!r}") from error
        if not flags & (_IORESOURCE_IO | _IORESOURCE_MEM) or last <= first:
            continue
        if not machine.exists(f"{path}/resource{index}"):
            continue
        found.append(
            BarFile(
                index=index,
                address=first,
                size=last - first + 1,
                is_port=bool(flags & _IORESOURCE_IO),
                has_wc=machine.exists(f"{path}/resource{index}_wc"),
            )
        )
    return tuple(found)
