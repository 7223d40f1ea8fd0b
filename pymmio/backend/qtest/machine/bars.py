"""Give each BAR of the device an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymmio.backend.qtest.machine.layout import (
    IO_WINDOW,
    MEMORY_WINDOW,
    PREFETCHABLE_WINDOW,
)
from pymmio.errors import Unsupported
from pymmio.pci.bars import Bar
from pymmio.pci.header import ConfigRegion, Offset

__all__ = ["PlacedBar", "find_rom_size", "place_bars"]

ROM_INDEX = 6
_ROM_ADDRESS = 0xFFFF_F800  # PCI Local Bus 3.0 §6.2.5.2
_SMALLEST = 4096  # apart by a page, so that an access past the end meets nobody


@dataclass(frozen=True, slots=True)
class PlacedBar:
    """A BAR and where it lies; index 6 is the expansion ROM."""

    index: int
    address: int
    size: int
    is_io: bool = False
    is_64bit: bool = False

    def write_to(self, config: ConfigRegion) -> None:
        """Write the address into the register; a ROM stays switched off."""
        offset = Offset.EXPANSION_ROM if self.index == ROM_INDEX else Offset.BAR0 + 4 * self.index
        config.write32(offset, self.address & 0xFFFF_FFFF)
        if self.is_64bit:
            config.write32(offset + 4, self.address >> 32)


class _Window:
    """Addresses that are given out from the low end; largest first wastes none."""

    def __init__(self, name: str, bounds: tuple[int, int]) -> None:
        self.name = name
        self._next, self._last = bounds

    def take(self, what: str, size: int) -> int:
        """Return a multiple of ``size``.  Raises Unsupported when nothing is left."""
        unit = max(size, 1)
        start = -(-self._next // unit) * unit
        if start + size - 1 > self._last:
            raise Unsupported(
                f"{what} with {size:#x} bytes does not fit the {self.name} of the machine",
                hint="Make it smaller by a property of the device",
            )
        self._next = start + size
        return start


def find_rom_size(config: ConfigRegion) -> int:
    """Return the size of the expansion ROM, 0 for none; leaves it without an address."""
    config.write32(Offset.EXPANSION_ROM, _ROM_ADDRESS)
    mask = config.read32(Offset.EXPANSION_ROM) & _ROM_ADDRESS
    config.write32(Offset.EXPANSION_ROM, 0)
    return (1 << 32) - mask if mask else 0


def place_bars(bars: Sequence[Bar], rom_size: int = 0) -> tuple[PlacedBar, ...]:
    """Choose addresses; pure.  Raises Unsupported where the machine has not enough.

    64-bit prefetchable BARs lie above 4 GiB, all others below, as a bridge demands
    (PCI-to-PCI Bridge Architecture 1.2 §3.2.5.8 and §3.2.5.9).
    """
    io = _Window("I/O ports", IO_WINDOW)
    low = _Window("memory below 4 GiB", MEMORY_WINDOW)
    high = _Window("memory above 4 GiB", PREFETCHABLE_WINDOW)
    placed: list[PlacedBar] = []
    wanted = [(bar.size or 0, bar) for bar in bars]
    for size, bar in sorted(wanted, key=lambda pair: -pair[0]):
        what = f"BAR{bar.index}"
        if bar.is_io:
            address = io.take(what, size)
        else:
            window = high if bar.is_64bit and bar.is_prefetchable else low
            address = window.take(what, max(size, _SMALLEST))
        placed.append(PlacedBar(bar.index, address, size, bar.is_io, bar.is_64bit))
    if rom_size:
        address = low.take("the expansion ROM", max(rom_size, _SMALLEST))
        placed.append(PlacedBar(ROM_INDEX, address, rom_size))
    return tuple(sorted(placed, key=lambda bar: bar.index))
