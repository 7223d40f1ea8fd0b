"""What a trace says about its device before the first event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["DeviceFacts", "RegionFacts"]


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """One region, as :class:`pymmio.handle.RegionInfo` has it."""

    index: int
    name: str
    size: int
    readable: bool = True
    writable: bool = True
    is_pci: bool = True
    is_ram: bool = False


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device of a trace: what it is, and what a replay needs to look the same.

    ``ids`` are those of :class:`pymmio.pci.PciIds`, ``config`` is the start of configuration
    space when the device was opened.  ``irqs`` has the number of vectors of each kind.
    ``iova_ranges`` (first and last inclusive), ``page_size`` and ``max_mappings`` are the DMA
    handle's.
    """

    uri: str
    name: str
    library: str = ""  #: the version of pymmio
    started: str = ""  #: when it was opened, ISO 8601
    ids: Mapping[str, int] = field(default_factory=dict)
    regions: tuple[RegionFacts, ...] = ()
    config: bytes = b""
    irqs: Mapping[str, int] = field(default_factory=dict)
    iova_ranges: tuple[tuple[int, int], ...] = ()
    page_size: int = 4096
    max_mappings: int = 65535

    def region_names(self) -> dict[int, str]:
        """Return the names that events of whole regions have, by index."""
        return {region.index: f"{self.name} {region.name}" for region in self.regions}
