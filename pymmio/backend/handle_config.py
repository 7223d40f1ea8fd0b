"""Configuration space as the PCI layer reads it, over what a backend reaches it by."""

from __future__ import annotations

from pymmio.handle import RegionHandle

__all__ = ["ByWidth", "HandleConfig"]


class ByWidth:
    """The accesses of a ``ConfigRegion``, made of ``read`` and ``write`` with a width in bytes."""

    __slots__ = ()

    def read(self, offset: int, width: int) -> int:
        """Make one read."""
        raise NotImplementedError

    def write(self, offset: int, width: int, value: int) -> None:
        """Make one write."""
        raise NotImplementedError

    def read8(self, offset: int, /) -> int:
        return self.read(offset, 1)

    def read16(self, offset: int, /) -> int:
        return self.read(offset, 2)

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write8(self, offset: int, value: int, /) -> None:
        self.write(offset, 1, value)

    def write16(self, offset: int, value: int, /) -> None:
        self.write(offset, 2, value)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)


class HandleConfig(ByWidth):
    """A ``ConfigRegion`` for backends, which have no regions with rules and bounds."""

    def __init__(self, region: RegionHandle) -> None:
        self._region = region

    @property
    def size(self) -> int:
        return self._region.info.size

    def read(self, offset: int, width: int) -> int:
        return self._region.read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        self._region.write(offset, width, value)
