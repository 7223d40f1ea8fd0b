"""Where the MSI-X table lies: VFIO hides it from pread and pwrite."""

from __future__ import annotations

from pymmio.handle import MappedArea, RegionHandle
from pymmio.pci.caps import MsiX, walk_capabilities

__all__ = ["find_msix_table"]


class _Config:
    """Configuration space as the PCI layer reads it, over a region handle."""

    def __init__(self, region: RegionHandle) -> None:
        self._region = region

    @property
    def size(self) -> int:
        return self._region.info.size

    def read8(self, offset: int, /) -> int:
        return self._region.read(offset, 1)

    def read16(self, offset: int, /) -> int:
        return self._region.read(offset, 2)

    def read32(self, offset: int, /) -> int:
        return self._region.read(offset, 4)

    def write8(self, offset: int, value: int, /) -> None:
        self._region.write(offset, 1, value)

    def write16(self, offset: int, value: int, /) -> None:
        self._region.write(offset, 2, value)

    def write32(self, offset: int, value: int, /) -> None:
        self._region.write(offset, 4, value)


def find_msix_table(config: RegionHandle, bar: int) -> MappedArea | None:
    """Return the MSI-X table's place if it lies in this BAR.

    Raises ProtocolError where the list of capabilities is broken.
    """
    for capability in walk_capabilities(_Config(config)):
        if isinstance(capability, MsiX):
            place = capability.table
            return MappedArea(place.offset, place.size) if place.bar == bar else None
    return None
