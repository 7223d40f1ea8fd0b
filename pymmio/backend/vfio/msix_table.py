"""Where the MSI-X table lies: VFIO hides it from pread and pwrite."""

from __future__ import annotations

from pymmio.backend.handle_config import HandleConfig
from pymmio.handle import MappedArea, RegionHandle
from pymmio.pci.caps import MsiX, walk_capabilities

__all__ = ["find_msix_table"]


def find_msix_table(config: RegionHandle, bar: int) -> MappedArea | None:
    """Return the MSI-X table's place if it lies in this BAR.

    Raises ProtocolError where the list of capabilities is broken.
    """
    for capability in walk_capabilities(HandleConfig(config)):
        if isinstance(capability, MsiX):
            place = capability.table
            return MappedArea(place.offset, place.size) if place.bar == bar else None
    return None
