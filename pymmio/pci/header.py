"""The configuration space header: where its registers are and what their bits mean.

Offsets are in bytes.  Sources: PCI Local Bus 3.0 (PCI), PCI Express Base 5.0 (PCIe),
PCI-to-PCI Bridge Architecture 1.2 (bridge).
"""

from __future__ import annotations

import enum
from typing import Final, Protocol

__all__ = [
    "CONFIG_SIZES",
    "Command",
    "ConfigRegion",
    "HeaderLayout",
    "InterruptPin",
    "Offset",
    "Status",
    "flag_names",
    "named",
]

CONFIG_SIZES: Final = (256, 4096)
"""Sizes of a configuration space: conventional PCI §6.1, PCI Express 5.0 §7.2."""


def named(kind: type[enum.IntEnum], number: int) -> int:
    """Return the member of ``kind`` for a number from a device, the bare number if unknown."""
    try:
        return kind(number)
    except ValueError:
        return number


def flag_names(flags: enum.IntFlag) -> list[str]:
    """Return the names of the bits that are set, reserved ones as ``bit N``."""
    known = {int(member): member.name for member in type(flags)}
    bits = (bit for bit in range(int(flags).bit_length()) if flags & 1 << bit)
    return [known.get(1 << bit) or f"bit {bit}" for bit in bits]


class ConfigRegion(Protocol):
    """What decoding needs of a configuration space: single little-endian accesses.

    A ``pymmio.mmio.Region`` is one, and so is ``ConfigSpace``.
    """

    @property
    def size(self) -> int: ...

    def read8(self, offset: int, /) -> int: ...

    def read16(self, offset: int, /) -> int: ...

    def read32(self, offset: int, /) -> int: ...

    def write8(self, offset: int, value: int, /) -> None: ...

    def write16(self, offset: int, value: int, /) -> None: ...

    def write32(self, offset: int, value: int, /) -> None: ...


class Offset(enum.IntEnum):
    """Registers of the header, PCI §6.1 (figure 6-1); the first 16 bytes suit every layout."""

    VENDOR_ID = 0x00
    DEVICE_ID = 0x02
    COMMAND = 0x04
    STATUS = 0x06
    REVISION_ID = 0x08
    CLASS_CODE = 0x09  #: 24 bits
    CACHE_LINE_SIZE = 0x0C
    LATENCY_TIMER = 0x0D
    HEADER_TYPE = 0x0E
    BIST = 0x0F
    BAR0 = 0x10
    CARDBUS_CAPABILITIES_POINTER = 0x14  #: PC Card Standard: header layout 2 only
    SUBSYSTEM_VENDOR_ID = 0x2C
    SUBSYSTEM_ID = 0x2E
    EXPANSION_ROM = 0x30
    CAPABILITIES_POINTER = 0x34  #: header layouts 0 (PCI §6.7) and 1 (bridge §3.2)
    INTERRUPT_LINE = 0x3C
    INTERRUPT_PIN = 0x3D


class Command(enum.IntFlag, boundary=enum.KEEP):
    """Bits of the Command register, PCI §6.2.2; reserved bits are kept as they are."""

    IO = 1 << 0  #: answer I/O accesses
    MEMORY = 1 << 1  #: answer memory accesses
    BUS_MASTER = 1 << 2  #: the device may start accesses (DMA, MSI)
    SPECIAL_CYCLES = 1 << 3
    MEMORY_WRITE_INVALIDATE = 1 << 4
    VGA_PALETTE_SNOOP = 1 << 5
    PARITY_ERROR_RESPONSE = 1 << 6
    SERR_ENABLE = 1 << 8
    FAST_BACK_TO_BACK = 1 << 9
    INTX_DISABLE = 1 << 10


class Status(enum.IntFlag, boundary=enum.KEEP):
    """Bits of the Status register, PCI §6.2.3; the upper ones are cleared by writing 1."""

    INTERRUPT = 1 << 3
    CAPABILITIES_LIST = 1 << 4
    CAPABLE_66MHZ = 1 << 5
    FAST_BACK_TO_BACK = 1 << 7
    MASTER_DATA_PARITY_ERROR = 1 << 8  #: W1C
    DEVSEL_MEDIUM = 1 << 9
    DEVSEL_SLOW = 1 << 10
    SIGNALED_TARGET_ABORT = 1 << 11  #: W1C
    RECEIVED_TARGET_ABORT = 1 << 12  #: W1C
    RECEIVED_MASTER_ABORT = 1 << 13  #: W1C
    SIGNALED_SYSTEM_ERROR = 1 << 14  #: W1C
    DETECTED_PARITY_ERROR = 1 << 15  #: W1C


class HeaderLayout(enum.IntEnum):
    """Bits 6:0 of the Header Type register, PCI §6.2.1."""

    ENDPOINT = 0
    BRIDGE = 1
    CARDBUS = 2


class InterruptPin(enum.IntEnum):
    """The Interrupt Pin register, PCI §6.2.4."""

    NONE = 0
    INTA = 1
    INTB = 2
    INTC = 3
    INTD = 4
