"""Configuration space as the PCI layer reads it, over the region handle of a backend."""

from __future__ import annotations

from pymmio.handle import RegionHandle

__all__ = ["HandleConfig"]


class HandleConfig:
    """A ``ConfigRegion`` for backends, which have no regions with rules and bounds."""

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
