"""Regions that may be mapped in parts only: instructions there, calls elsewhere.

An area that must not be mapped is usually the MSI-X table, which the kernel keeps to itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.errors import PymmioError
from pymmio.mmio.access import AccessRule
from pymmio.mmio.doorbell import Doorbell
from pymmio.mmio.handled import HandleRegion
from pymmio.mmio.mapped import MappedRegion
from pymmio.mmio.region import Region, check_window

__all__ = ["SparseRegion"]


class SparseRegion(Region):
    """``areas`` are mapped regions by their offset in the whole; ``rest`` reaches all of it.

    A window that lies inside one area is a MappedRegion, with its speed.
    """

    def __init__(self, rest: HandleRegion, areas: Sequence[tuple[int, MappedRegion]]) -> None:
        self.name = rest.name
        self.size = rest.size
        self.rule = rest.rule
        self._rest = rest
        self._areas = tuple(sorted(areas, key=lambda area: area[0]))
        self.access = self._areas[0][1].access

    def _at(self, offset: int, width: int) -> tuple[Region, int]:
        for start, area in self._areas:
            if start <= offset and offset + width <= start + area.size:
                return area, offset - start
        return self._rest, offset

    def _load(self, offset: int, width: int) -> int:
        part, at = self._at(offset, width)
        return part._load(at, width)

    def _store(self, offset: int, width: int, value: int) -> None:
        part, at = self._at(offset, width)
        part._store(at, width, value)

    def _require_open(self) -> None:
        self._rest._require_open()

    def _explained(self, error: PymmioError) -> PymmioError:
        return self._rest._explained(error)

    def window(
        self, offset: int, size: int, *, name: str | None = None, rule: AccessRule | None = None
    ) -> Region:
        """Return a part of the region; mapped where it lies inside one area."""
        check_window(self, offset, size)
        part, at = self._at(offset, size)
        if part is not self._rest:
            name = name or f"{self.name}[{offset:#x}:{offset + size:#x}]"
            return part.window(at, size, name=name, rule=rule)
        window = self._rest.window(offset, size, name=name, rule=rule)
        inside = [
            (max(start, offset), min(start + area.size, offset + size), start, area)
            for start, area in self._areas
        ]
        areas = [
            (low - offset, area.window(low - start, high - low, rule=window.rule))
            for low, high, start, area in inside
            if low < high
        ]
        return SparseRegion(window, areas) if areas else window

    def doorbell(self, offset: int, width: int = 4) -> Doorbell:
        """Return a doorbell: a store where the register is mapped, else a call."""
        part, at = self._at(offset, width)
        return part.doorbell(at, width)

    @property
    def closed(self) -> bool:
        """Whether accesses are impossible."""
        return self._rest.closed

    def close(self) -> None:
        """Unmap all areas, then let go of the rest."""
        for _, area in self._areas:
            area.close()
        self._rest.close()
