"""Resizable BAR: which sizes BARs may have, and which they have."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.pci.bars import format_size
from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts
from pymmio.regs import RO, RW, Field, Register

__all__ = ["ResizableBar", "ResizableBarCapability", "ResizableBarControl", "ResizableBarEntry"]

_ENTRY_SIZE = 8  # a capability and a control register for each BAR, PCI Express 5.0 §7.8.6
_LAST_BAR = 5
_MIB = 1 << 20
_FIRST_SIZES = 28  # 1 MiB to 128 TiB; the larger ones stand in the control register


class ResizableBarCapability(Register, offset=0x04, width=32, access=RO):
    """Resizable BAR Capability (PCI Express 5.0 §7.8.6.2)."""

    sizes = Field(bits=(4, 31), doc="bit n: it can have 1 MiB << n")


class ResizableBarControl(Register, offset=0x08, width=32, access=RW):
    """Resizable BAR Control (PCI Express 5.0 §7.8.6.3)."""

    bar = Field(bits=(0, 2), access=RO, doc="index of the BAR")
    count = Field(bits=(5, 7), access=RO, doc="how many are resizable; only in the first one")
    size = Field(bits=(8, 13), doc="1 MiB << n")
    larger_sizes = Field(bits=(16, 31), access=RO, doc="bit n: it can have 256 TiB << n")


@dataclass(frozen=True, slots=True)
class ResizableBarEntry:
    """A BAR by index, its size in bytes and those that it can have."""

    bar: int
    size: int
    sizes: tuple[int, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON; sizes with their units."""
        return {
            "bar": self.bar,
            "size": format_size(self.size),
            "sizes": [format_size(size) for size in self.sizes],
        }


class ResizableBar(ExtendedCapability):
    """Resizable BAR, extended capability 0015h (PCI Express 5.0 §7.8.6).

    Sizes are the kernel's to change (``resourceN_resize`` in sysfs): this only tells.
    """

    __slots__ = ()

    @property
    def entries(self) -> tuple[ResizableBarEntry, ...]:
        """The BARs that are resizable.

        Raises ProtocolError for a count that no function can have, a BAR that does not exist
        or comes twice, and a size that is none of those it can have.
        """
        count = self._read(ResizableBarControl).count
        if not 1 <= count <= _LAST_BAR + 1:
            raise self._refused(f"{count} resizable BARs, 1 to {_LAST_BAR + 1} are possible")
        entries: list[ResizableBarEntry] = []
        for index in range(count):
            entry = self._entry(index)
            if any(entry.bar == other.bar for other in entries):
                raise self._refused(f"BAR{entry.bar} is there twice")
            entries.append(entry)
        return tuple(entries)

    def _entry(self, index: int) -> ResizableBarEntry:
        capability = self._read(ResizableBarCapability, 0x04 + _ENTRY_SIZE * index)
        control = self._read(ResizableBarControl, 0x08 + _ENTRY_SIZE * index)
        if control.bar > _LAST_BAR:
            raise self._refused(f"entry {index} names BAR {control.bar}, which is reserved")
        bits = capability.sizes | control.larger_sizes << _FIRST_SIZES
        sizes = tuple(_MIB << bit for bit in range(bits.bit_length()) if bits & 1 << bit)
        size = _MIB << control.size
        if size not in sizes:
            raise self._refused(
                f"BAR{control.bar} has {format_size(size)}, which is none of"
                f" {', '.join(map(format_size, sizes)) or 'no sizes at all'}"
            )
        return ResizableBarEntry(control.bar, size, sizes)

    def facts(self) -> Facts:
        return {"bars": [entry.as_dict() for entry in self.entries]}
