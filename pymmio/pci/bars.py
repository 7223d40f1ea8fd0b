"""Base address registers: what they say, and how large what they point to is.

PCI Local Bus 3.0 §6.2.5.1 is the source of everything here.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pymmio.errors import ProtocolError
from pymmio.pci.header import Command, ConfigRegion, HeaderLayout, Offset

__all__ = ["BAR_COUNTS", "Bar", "BarKind", "decode_bars", "read_bar_dwords", "size_bars"]

# Bits of a BAR, PCI Local Bus 3.0 §6.2.5.1, figures 6-5 and 6-6.
_IO_SPACE = 1 << 0
_IO_RESERVED = 1 << 1
_IO_ADDRESS = 0xFFFF_FFFC
_MEMORY_TYPE = 0b11 << 1
_MEMORY_TYPE_32 = 0b00 << 1
_MEMORY_TYPE_64 = 0b10 << 1
_MEMORY_PREFETCHABLE = 1 << 3
_MEMORY_ADDRESS = 0xFFFF_FFF0

_ALL_ONES = 0xFFFF_FFFF

BAR_COUNTS = {
    HeaderLayout.ENDPOINT: 6,  # PCI Local Bus 3.0 §6.1
    HeaderLayout.BRIDGE: 2,  # PCI-to-PCI Bridge Architecture 1.2 §3.2
    HeaderLayout.CARDBUS: 1,  # PC Card Standard 8.0, CardBus bridge header
}
"""How many BARs each header layout has."""


class BarKind(enum.StrEnum):
    """The address space of a BAR and how wide its addresses are."""

    IO = "io"
    MEMORY32 = "mem32"
    MEMORY64 = "mem64"


@dataclass(frozen=True, slots=True)
class Bar:
    """One base address register, or two where it holds a 64-bit address.

    ``address`` is the bus address that stands in it (0: none assigned).  ``size`` is in
    bytes and None where it was not determined.
    """

    index: int
    kind: BarKind
    address: int
    is_prefetchable: bool = False
    size: int | None = None

    @property
    def is_io(self) -> bool:
        return self.kind is BarKind.IO

    @property
    def is_64bit(self) -> bool:
        return self.kind is BarKind.MEMORY64

    @property
    def slots(self) -> int:
        """How many of the registers it takes."""
        return 2 if self.is_64bit else 1

    def as_dict(self) -> dict[str, int | str | bool | None]:
        """Return the values by name, ready for JSON."""
        return {
            "index": self.index,
            "kind": str(self.kind),
            "address": self.address,
            "is_prefetchable": self.is_prefetchable,
            "size": self.size,
        }

    def __str__(self) -> str:
        if self.is_io:
            what = f"I/O ports at {self.address:#x}"
        else:
            bits = 64 if self.is_64bit else 32
            kind = "prefetchable" if self.is_prefetchable else "non-prefetchable"
            what = f"memory at {self.address:#x} ({bits}-bit, {kind})"
        size = "" if self.size is None else f" [size={format_size(self.size)}]"
        return f"BAR{self.index}: {what}{size}"


def format_size(size: int) -> str:
    """Write a size with the largest binary unit that leaves a whole number: 16K, 1G."""
    units = "BKMGTPE"
    unit = 0
    while size and size % 1024 == 0 and unit < len(units) - 1:
        size //= 1024
        unit += 1
    return f"{size}{units[unit]}" if unit else f"{size}"


def decode_bars(dwords: Sequence[int], masks: Sequence[int] | None = None) -> tuple[Bar, ...]:
    """Decode the BAR registers of a header; pure.

    ``masks`` are the same registers as they read after all-ones were written to them;
    with them sizes are known.  Without them a register of 0 is left out: it is either
    not implemented or a 32-bit memory BAR without an address, and only the masks tell.

    Raises ProtocolError for what no device may say: a reserved type, a 64-bit BAR
    without a second register, a size that is not a power of two, an address that is not
    a multiple of the size.
    """
    bars: list[Bar] = []
    index = 0
    while index < len(dwords):
        if (dwords[index] if masks is None else masks[index] | dwords[index]) == 0:
            index += 1
            continue
        bar = _decode_one(index, dwords, masks)
        bars.append(bar)
        index += bar.slots
    return tuple(bars)


def _decode_one(index: int, dwords: Sequence[int], masks: Sequence[int] | None) -> Bar:
    low = dwords[index]
    if low & _IO_SPACE:
        if low & _IO_RESERVED:
            raise ProtocolError(f"BAR{index} reads {low:#010x}: I/O space with reserved bit 1 set")
        mask = None if masks is None else _io_mask(masks[index])
        size = None if mask is None else _size(index, low, mask, _IO_ADDRESS, 32)
        return Bar(index, BarKind.IO, low & _IO_ADDRESS, size=size)

    prefetchable = bool(low & _MEMORY_PREFETCHABLE)
    width = low & _MEMORY_TYPE
    if width == _MEMORY_TYPE_32:
        size = None if masks is None else _size(index, low, masks[index], _MEMORY_ADDRESS, 32)
        return Bar(index, BarKind.MEMORY32, low & _MEMORY_ADDRESS, prefetchable, size)
    if width != _MEMORY_TYPE_64:
        raise ProtocolError(f"BAR{index} reads {low:#010x}: memory type {width >> 1} is reserved")
    if index + 1 >= len(dwords):
        raise ProtocolError(
            f"BAR{index} reads {low:#010x}: 64 bits wide, but it is the last of {len(dwords)}"
        )
    whole = dwords[index + 1] << 32 | low
    address_bits = _ALL_ONES << 32 | _MEMORY_ADDRESS
    size = None
    if masks is not None:
        size = _size(index, whole, masks[index + 1] << 32 | masks[index], address_bits, 64)
    return Bar(index, BarKind.MEMORY64, whole & address_bits, prefetchable, size)


def _io_mask(mask: int) -> int:
    """Fill in the upper half, which devices for 16-bit I/O may hardwire to zero."""
    return mask if mask >> 16 else mask | 0xFFFF_0000


def _size(index: int, value: int, mask: int, address_bits: int, width: int) -> int:
    if (value ^ mask) & ~address_bits:
        raise ProtocolError(
            f"BAR{index} reads {value:#x}, and {mask:#x} after writing ones: its type changed"
        )
    writable = mask & address_bits
    size = (1 << width) - writable
    if writable == 0 or size & (size - 1):
        raise ProtocolError(
            f"BAR{index} reads {mask:#x} after writing ones: that is not a power-of-two size"
        )
    if value & address_bits & (size - 1):
        raise ProtocolError(
            f"BAR{index} holds {value:#x}, which is no multiple of its size {size:#x}"
        )
    return size


def read_bar_dwords(config: ConfigRegion, count: int) -> tuple[int, ...]:
    """Read the first ``count`` BAR registers as they are."""
    return tuple(config.read32(Offset.BAR0 + 4 * index) for index in range(count))


def size_bars(config: ConfigRegion, count: int = 6) -> tuple[Bar, ...]:
    """Find out sizes by writing all-ones to each BAR and reading back.

    Side effects: memory and I/O decoding is off meanwhile (COMMAND bits 0 and 1), so
    that the device answers at no wrong address: nobody may access a BAR then, a mapping
    would fault.  Each BAR, then COMMAND, gets its former value back, also on error.
    Only if a BAR could not be put back decoding stays off.

    Raises ProtocolError as decode_bars does, and whatever an access raises.
    """
    command = config.read16(Offset.COMMAND)
    decoding = command & (Command.IO | Command.MEMORY)
    with ExitStack() as undo:
        if decoding:
            # pushed first: a write that failed may have arrived
            undo.callback(config.write16, Offset.COMMAND, command)
            config.write16(Offset.COMMAND, command & ~decoding)
        dwords = read_bar_dwords(config, count)
        masks: list[int] = []
        for index, dword in enumerate(dwords):
            offset = Offset.BAR0 + 4 * index
            try:
                config.write32(offset, _ALL_ONES)
                masks.append(config.read32(offset))
            finally:
                try:
                    config.write32(offset, dword)
                except BaseException:
                    # a BAR full of ones must not be decoded: it hits others' addresses
                    undo.pop_all()
                    raise
    return decode_bars(dwords, masks)
