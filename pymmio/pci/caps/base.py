"""What all capabilities have in common: an id, a place, registers."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

from pymmio.errors import DeviceGone, ProtocolError
from pymmio.pci.header import ConfigRegion
from pymmio.regs import Register

__all__ = ["Capability", "CapabilityId"]

_SPACE_END = 0x100  # PCI Local Bus 3.0 §6.7: the list lies in the first 256 bytes

R = TypeVar("R", bound=Register)


class CapabilityId(enum.IntEnum):
    """Capability ids, PCI Local Bus 3.0 appendix H; PCI Code and ID Assignment 1.11 §2."""

    NULL = 0x00
    POWER_MANAGEMENT = 0x01
    AGP = 0x02
    VPD = 0x03
    SLOT_ID = 0x04
    MSI = 0x05
    COMPACT_PCI_HOT_SWAP = 0x06
    PCI_X = 0x07
    HYPERTRANSPORT = 0x08
    VENDOR_SPECIFIC = 0x09
    DEBUG_PORT = 0x0A
    COMPACT_PCI_RESOURCE_CONTROL = 0x0B
    HOT_PLUG = 0x0C
    BRIDGE_SUBSYSTEM_ID = 0x0D
    AGP_8X = 0x0E
    SECURE_DEVICE = 0x0F
    PCI_EXPRESS = 0x10
    MSI_X = 0x11
    SATA = 0x12
    ADVANCED_FEATURES = 0x13
    ENHANCED_ALLOCATION = 0x14
    FLATTENING_PORTAL_BRIDGE = 0x15


class Capability:
    """A capability in the list of the header; this class for those that have no other.

    The object is a live view: it keeps no content, each property reads the device again.
    Reading past the end of the list's 256 bytes raises ProtocolError, as the device said
    that something was there.
    """

    __slots__ = ("_config", "id", "offset")

    id: int
    offset: int

    def __init__(self, config: ConfigRegion, offset: int, capability_id: int) -> None:
        self._config = config
        self.offset = offset
        self.id = capability_id

    @property
    def name(self) -> str:
        """The capability's name, or its number where it has none."""
        return capability_name(self.id)

    def facts(self) -> Mapping[str, object]:
        """Read what it says, by name, ready for JSON; nothing is known of generic ones."""
        return {}

    def as_dict(self) -> dict[str, object]:
        """Return id, name, offset and all facts, ready for JSON; reads the device."""
        return {"id": self.id, "name": self.name, "offset": self.offset, **self.facts()}

    def __str__(self) -> str:
        facts = " ".join(f"{key}={_text(key, value)}" for key, value in self.facts().items())
        return f"[{self.offset:02x}] {self.name}" + (f": {facts}" if facts else "")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} id={self.id:#04x} offset={self.offset:#04x}>"

    # --- for subclasses ------------------------------------------------------------

    def _read_number(self, at: int, width: int) -> int:
        """Read ``width`` bytes, ``at`` bytes into the capability."""
        offset = self.offset + at
        if offset + width > _SPACE_END:
            raise ProtocolError(
                f"capability {self.name} at {self.offset:#x} has a register at {offset:#x},"
                f" beyond the {_SPACE_END:#x} bytes where capabilities live"
            )
        if width == 1:
            return self._config.read8(offset)
        if width == 2:
            return self._config.read16(offset)
        return self._config.read32(offset)

    def _read(self, register: type[R]) -> R:
        """Read a register whose declared offset counts from the capability's start."""
        spec = register.spec
        assert spec.offset is not None
        return register(self._read_number(spec.offset, spec.width // 8))

    def _write(self, value: Register) -> None:
        """Write a 16-bit register whose declared offset counts from the capability's start."""
        spec = value.spec
        assert spec.offset is not None
        assert spec.width == 16
        self._config.write16(self.offset + spec.offset, int(value))

    def _check_answers(self, value: Register) -> None:
        """Raise DeviceGone if a register that has zero bits reads as ones."""
        if int(value) == (1 << value.spec.width) - 1:
            raise DeviceGone(
                f"{value.spec.name} of capability {self.name} at {self.offset:#x} reads as ones",
                hint="Was the device unplugged, or is its slot or link without power?",
            )


def capability_name(capability_id: int) -> str:
    """Return the name of a capability id as people write it."""
    try:
        member = CapabilityId(capability_id)
    except ValueError:
        return f"capability {capability_id:#04x}"
    return _NAMES.get(member, member.name.replace("_", " ").lower())


_NAMES = {
    CapabilityId.AGP: "AGP",
    CapabilityId.VPD: "VPD",
    CapabilityId.MSI: "MSI",
    CapabilityId.MSI_X: "MSI-X",
    CapabilityId.PCI_X: "PCI-X",
    CapabilityId.HYPERTRANSPORT: "HyperTransport",
    CapabilityId.PCI_EXPRESS: "PCI Express",
    CapabilityId.SATA: "SATA",
    CapabilityId.AGP_8X: "AGP 8x",
    CapabilityId.COMPACT_PCI_HOT_SWAP: "CompactPCI hot swap",
    CapabilityId.COMPACT_PCI_RESOURCE_CONTROL: "CompactPCI resource control",
}


_IN_HEX = frozenset({"address", "data", "offset"})


def _text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key in _IN_HEX:
        return f"{value:#x}"
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_text(name, item)}" for name, item in value.items())
    if isinstance(value, list):
        return ",".join(_text(key, item) for item in value) or "none"
    return "none" if value is None else str(value)
