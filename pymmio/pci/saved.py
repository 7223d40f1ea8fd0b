"""The registers of the header that a function forgets when it is reset, kept meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pymmio.pci.header import ConfigRegion, HeaderLayout, Offset

__all__ = ["SavedHeader"]

_LAYOUT_MASK = 0x7F  # PCI Local Bus 3.0 §6.2.1
_BARS = range(Offset.BAR0, Offset.BAR0 + 24, 4)


@dataclass(frozen=True, slots=True)
class SavedHeader:
    """What software had written to the header of an endpoint (PCI Local Bus 3.0 §6.1)."""

    command: int
    dwords: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, config: ConfigRegion) -> Self:
        """Read it.  Of bridges COMMAND alone is kept: their windows are the kernel's."""
        layout = config.read8(Offset.HEADER_TYPE) & _LAYOUT_MASK
        offsets = (*_BARS, Offset.EXPANSION_ROM) if layout == HeaderLayout.ENDPOINT else ()
        dwords = tuple((int(offset), config.read32(offset)) for offset in offsets)
        return cls(config.read16(Offset.COMMAND), dwords)

    def restore(self, config: ConfigRegion) -> None:
        """Write back what differs, COMMAND last: nothing is decoded at a wrong address."""
        for offset, value in self.dwords:
            if config.read32(offset) != value:
                config.write32(offset, value)
        if config.read16(Offset.COMMAND) != self.command:
            config.write16(Offset.COMMAND, self.command)
