"""Configuration space of a PCI function.

Every property is one access (two where it says so); nothing is cached, as what stands
there changes under the program's feet.
"""

from __future__ import annotations

from typing import TypeVar

from pymmio.errors import DeviceGone, ProtocolError, UnsafeUpdate
from pymmio.pci.bars import BAR_COUNTS, Bar, decode_bars, read_bar_dwords, size_bars
from pymmio.pci.capability_list import CapabilityList
from pymmio.pci.caps import Capability, walk_capabilities
from pymmio.pci.extcaps import ExtendedCapability, walk_extended_capabilities
from pymmio.pci.header import (
    CONFIG_SIZES,
    Command,
    ConfigRegion,
    HeaderLayout,
    InterruptPin,
    Offset,
    Status,
    flag_names,
    named,
)
from pymmio.pci.match import PciIds
from pymmio.pci.survey import CapabilitySurvey, survey_capabilities

__all__ = ["ConfigSpace"]

C = TypeVar("C", bound=Capability)
E = TypeVar("E", bound=ExtendedCapability)

_LAYOUT_MASK = 0x7F  # PCI Local Bus 3.0 §6.2.1, Header Type bits 6:0
_MULTI_FUNCTION = 0x80  # PCI Local Bus 3.0 §6.2.1, Header Type bit 7
_ALL_ONES = 0xFFFF_FFFF


class ConfigSpace:
    """Typed access to a configuration space of 256 or 4096 bytes.

    ``region`` is any object with ``size`` and single accesses of 8, 16 and 32 bits; its
    errors pass through.  The region stays the caller's and is not closed here.  Raises
    ProtocolError where its size is not one that PCI knows.
    """

    __slots__ = ("_region",)

    def __init__(self, region: ConfigRegion) -> None:
        if region.size not in CONFIG_SIZES:
            raise ProtocolError(
                f"configuration space has {region.size} bytes, PCI knows 256 and 4096",
                hint="The backend or the other end of the connection reports a wrong size",
            )
        self._region = region

    def __repr__(self) -> str:
        return f"ConfigSpace(size={self.size})"

    def _repr_html_(self) -> str:
        from pymmio.pci.config_html import config_html

        return config_html(self)

    # --- single accesses -----------------------------------------------------------

    @property
    def size(self) -> int:
        """Size in bytes: 256 for conventional PCI, 4096 for PCI Express."""
        return self._region.size

    def read8(self, offset: int, /) -> int:
        """Read one byte."""
        return self._region.read8(offset)

    def read16(self, offset: int, /) -> int:
        """Read two bytes as one access."""
        return self._region.read16(offset)

    def read32(self, offset: int, /) -> int:
        """Read four bytes as one access."""
        return self._region.read32(offset)

    def write8(self, offset: int, value: int, /) -> None:
        """Write one byte."""
        self._region.write8(offset, value)

    def write16(self, offset: int, value: int, /) -> None:
        """Write two bytes as one access."""
        self._region.write16(offset, value)

    def write32(self, offset: int, value: int, /) -> None:
        """Write four bytes as one access.

        Raises UnsafeUpdate over COMMAND and STATUS: the latter's error bits are cleared
        by writing what was read (W1C).
        """
        if offset == Offset.COMMAND:
            raise UnsafeUpdate(
                "a 32-bit write at 0x4 hits COMMAND and STATUS at once, and STATUS bits that"
                " are written as 1 are cleared",
                hint="Write COMMAND with write16(0x4) or config.command",
            )
        self._region.write32(offset, value)

    # --- identity ------------------------------------------------------------------

    @property
    def vendor_id(self) -> int:
        return self.read16(Offset.VENDOR_ID)

    @property
    def device_id(self) -> int:
        return self.read16(Offset.DEVICE_ID)

    @property
    def revision_id(self) -> int:
        return self.read8(Offset.REVISION_ID)

    @property
    def class_code(self) -> int:
        """24 bits: base class, subclass, programming interface."""
        return self.read32(Offset.REVISION_ID) >> 8

    @property
    def subsystem_vendor_id(self) -> int:
        """Only header layout 0 has it here; 0 elsewhere (two accesses)."""
        if self.header_layout != HeaderLayout.ENDPOINT:
            return 0
        return self.read16(Offset.SUBSYSTEM_VENDOR_ID)

    @property
    def subsystem_id(self) -> int:
        """Only header layout 0 has it here; 0 elsewhere (two accesses)."""
        if self.header_layout != HeaderLayout.ENDPOINT:
            return 0
        return self.read16(Offset.SUBSYSTEM_ID)

    @property
    def ids(self) -> PciIds:
        """All numbers that identify the function, read now."""
        return PciIds(
            vendor_id=self.vendor_id,
            device_id=self.device_id,
            class_code=self.class_code,
            revision_id=self.revision_id,
            subsystem_vendor_id=self.subsystem_vendor_id,
            subsystem_id=self.subsystem_id,
        )

    def check_present(self) -> None:
        """Raise DeviceGone where ids, COMMAND and STATUS all read as ones (two accesses).

        The ids alone say nothing: virtual functions have all-ones there
        (PCI Express 5.0 §9.3.4.1.1).
        """
        if self.read32(Offset.VENDOR_ID) == _ALL_ONES and self.read32(Offset.COMMAND) == _ALL_ONES:
            raise DeviceGone(
                "configuration space reads as ones from 0x0 to 0x7: nothing answers",
                hint="Was the device unplugged, or is its slot or link without power?",
            )

    # --- header --------------------------------------------------------------------

    @property
    def header_layout(self) -> int:
        """A HeaderLayout where the number is a known one."""
        return named(HeaderLayout, self.read8(Offset.HEADER_TYPE) & _LAYOUT_MASK)

    @property
    def is_multi_function(self) -> bool:
        return bool(self.read8(Offset.HEADER_TYPE) & _MULTI_FUNCTION)

    @property
    def interrupt_pin(self) -> int:
        """An InterruptPin where the number is a known one; NONE means no INTx."""
        return named(InterruptPin, self.read8(Offset.INTERRUPT_PIN))

    @property
    def interrupt_line(self) -> int:
        """Whatever firmware or kernel noted here; the device does not use it."""
        return self.read8(Offset.INTERRUPT_LINE)

    # --- COMMAND and STATUS --------------------------------------------------------

    @property
    def command(self) -> Command:
        """The COMMAND register; assigning writes these 16 bits and leaves STATUS alone."""
        return Command(self.read16(Offset.COMMAND))

    @command.setter
    def command(self, value: Command | int) -> None:
        self.write16(Offset.COMMAND, int(value))

    def update_command(self, *, on: Command | int = 0, off: Command | int = 0) -> Command:
        """Switch bits of COMMAND on and off, keep the others; return what stood there before.

        One 16-bit read, and one 16-bit write if something changes.
        """
        before = self.command
        after = (before | on) & ~int(off) & 0xFFFF
        if after != before:
            self.command = after
        return before

    @property
    def status(self) -> Status:
        return Status(self.read16(Offset.STATUS))

    def clear_status(self, bits: Status | int) -> None:
        """Clear error bits of STATUS by writing 1 to exactly these."""
        self.write16(Offset.STATUS, int(bits))

    # --- BARs ----------------------------------------------------------------------

    def bars(self) -> tuple[Bar, ...]:
        """Decode the BARs as they stand, without their sizes; nothing is written.

        BARs that read as 0 are left out (see ``decode_bars``).  Raises ProtocolError.
        """
        return decode_bars(read_bar_dwords(self, self._bar_count()))

    def size_bars(self) -> tuple[Bar, ...]:
        """Decode the BARs with their sizes.

        Writes to them, with decoding switched off meanwhile (see ``bars.size_bars``): not
        while anybody accesses them.  Raises DeviceGone and ProtocolError.
        """
        self.check_present()
        return size_bars(self, self._bar_count())

    def _bar_count(self) -> int:
        layout = self.header_layout
        if layout not in BAR_COUNTS:
            raise ProtocolError(f"header layout {layout:#x} is none that PCI knows")
        return BAR_COUNTS[HeaderLayout(layout)]

    # --- capabilities --------------------------------------------------------------

    def capabilities(self) -> CapabilityList[Capability]:
        """Walk the list of capabilities; ProtocolError where it is damaged."""
        return CapabilityList(walk_capabilities(self))

    def capability(self, family: type[C]) -> C | None:
        """Return the first capability of a family, such as ``MsiX``, or None."""
        return next((cap for cap in self.capabilities() if isinstance(cap, family)), None)

    def extended_capabilities(self) -> CapabilityList[ExtendedCapability]:
        """Walk the list of extended capabilities; none in a space of 256 bytes."""
        return CapabilityList(walk_extended_capabilities(self))

    def extended_capability(self, family: type[E]) -> E | None:
        """Return the first extended capability of a family, such as ``Aer``, or None."""
        return next((cap for cap in self.extended_capabilities() if isinstance(cap, family)), None)

    def survey_capabilities(self) -> CapabilitySurvey:
        """Walk both lists as far as they go; damage is told, not raised."""
        return survey_capabilities(self)

    # --- dump ----------------------------------------------------------------------

    def dump(self) -> bytes:
        """Return all bytes, read with 4-byte accesses; ``hex_dump`` prints them."""
        return b"".join(
            self.read32(offset).to_bytes(4, "little") for offset in range(0, self.size, 4)
        )

    def as_dict(self) -> dict[str, object]:
        """Return the header, decoded, ready for JSON; reads only."""
        return {
            **self.ids.as_dict(),
            "header_layout": int(self.header_layout),
            "is_multi_function": self.is_multi_function,
            "command": flag_names(self.command),
            "status": flag_names(self.status),
            "interrupt_pin": int(self.interrupt_pin),
            "interrupt_line": self.interrupt_line,
            "bars": [bar.as_dict() for bar in self.bars()],
        }
