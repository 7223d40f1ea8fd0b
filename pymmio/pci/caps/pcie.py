"""PCI Express capability: what kind of function, its link, payloads, function-level reset."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from pymmio.errors import ProtocolError
from pymmio.pci.caps.base import Capability
from pymmio.regs import RESERVED, RO, RW, W1C, Field, Register

__all__ = [
    "DeviceCapabilities",
    "DeviceControl",
    "DeviceStatus",
    "Link",
    "LinkCapabilities",
    "LinkStatus",
    "PciExpress",
    "PcieCapabilities",
    "PcieType",
]


class PcieType(enum.IntEnum):
    """Device/Port Type, PCI Express 5.0 §7.5.3.2."""

    ENDPOINT = 0
    LEGACY_ENDPOINT = 1
    ROOT_PORT = 4
    UPSTREAM_PORT = 5
    DOWNSTREAM_PORT = 6
    PCIE_TO_PCI_BRIDGE = 7
    PCI_TO_PCIE_BRIDGE = 8
    INTEGRATED_ENDPOINT = 9
    EVENT_COLLECTOR = 10


class PcieCapabilities(Register, offset=0x02, width=16, access=RO):
    """PCI Express Capabilities (PCI Express 5.0 §7.5.3.2)."""

    version = Field(bits=(0, 3))
    type = Field(bits=(4, 7), enum=PcieType)
    slot_implemented = Field(bit=8)
    interrupt_message = Field(bits=(9, 13))


class DeviceCapabilities(Register, offset=0x04, width=32, access=RO):
    """Device Capabilities (PCI Express 5.0 §7.5.3.3)."""

    max_payload = Field(bits=(0, 2), doc="128 bytes << n")
    phantom_functions = Field(bits=(3, 4))
    extended_tag = Field(bit=5)
    flr = Field(bit=28, doc="function-level reset")


class DeviceControl(Register, offset=0x08, width=16, access=RW):
    """Device Control (PCI Express 5.0 §7.5.3.4)."""

    correctable_reporting = Field(bit=0)
    non_fatal_reporting = Field(bit=1)
    fatal_reporting = Field(bit=2)
    unsupported_reporting = Field(bit=3)
    relaxed_ordering = Field(bit=4)
    max_payload = Field(bits=(5, 7), doc="128 bytes << n")
    extended_tag = Field(bit=8)
    phantom_functions = Field(bit=9)
    aux_power = Field(bit=10)
    no_snoop = Field(bit=11)
    max_read_request = Field(bits=(12, 14), doc="128 bytes << n")
    initiate_flr = Field(bit=15, doc="reads as 0; bridges: configuration retry enable")


class DeviceStatus(Register, offset=0x0A, width=16, access=RW):
    """Device Status (PCI Express 5.0 §7.5.3.5)."""

    correctable_error = Field(bit=0, access=W1C)
    non_fatal_error = Field(bit=1, access=W1C)
    fatal_error = Field(bit=2, access=W1C)
    unsupported_request = Field(bit=3, access=W1C)
    aux_power = Field(bit=4, access=RO)
    transactions_pending = Field(bit=5, access=RO)
    emergency_power_reduction = Field(bit=6, access=W1C)
    reserved = Field(bits=(7, 15), access=RESERVED)


class LinkCapabilities(Register, offset=0x0C, width=32, access=RO):
    """Link Capabilities (PCI Express 5.0 §7.5.3.6)."""

    max_speed = Field(bits=(0, 3))
    max_width = Field(bits=(4, 9))
    aspm = Field(bits=(10, 11))
    port_number = Field(bits=(24, 31))


class LinkStatus(Register, offset=0x12, width=16, access=RO):
    """Link Status (PCI Express 5.0 §7.5.3.8)."""

    speed = Field(bits=(0, 3))
    width = Field(bits=(4, 9))
    training = Field(bit=11)
    data_link_active = Field(bit=13)


# PCI Express 5.0 §7.5.3.18: bit n-1 of Supported Link Speeds, which codes count; 64 GT/s
# stands in PCI Express 6.0, same section.
_SPEEDS_GT_S = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}

_MAX_PAYLOAD_CODE = 5  # 4096 bytes; 6 and 7 are reserved, PCI Express 5.0 §7.5.3.3


@dataclass(frozen=True, slots=True)
class Link:
    """Speed in GT/s (None: a code that is not known) and number of lanes."""

    speed_gt_s: float | None
    width: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the values by name, ready for JSON."""
        return {"speed_gt_s": self.speed_gt_s, "width": self.width}

    def __str__(self) -> str:
        speed = "unknown speed" if self.speed_gt_s is None else f"{self.speed_gt_s:g} GT/s"
        return f"{speed} x{self.width}"


class PciExpress(Capability):
    """PCI Express, capability id 10h (PCI Express 5.0 §7.5.3)."""

    __slots__ = ()

    @property
    def capabilities(self) -> PcieCapabilities:
        return self._read(PcieCapabilities)

    @property
    def device_capabilities(self) -> DeviceCapabilities:
        return self._read(DeviceCapabilities)

    @property
    def device_control(self) -> DeviceControl:
        return self._read(DeviceControl)

    @property
    def device_status(self) -> DeviceStatus:
        return self._read(DeviceStatus)

    @property
    def type(self) -> PcieType:
        """Kind of function; a member named ``unknown(...)`` where the number is none."""
        return self.capabilities.type

    @property
    def has_flr(self) -> bool:
        """Whether the function can be reset by itself."""
        return bool(self.device_capabilities.flr)

    @property
    def has_link(self) -> bool:
        """Functions inside the root complex have no link (PCI Express 5.0 §7.5.3.6)."""
        return self.type not in (PcieType.INTEGRATED_ENDPOINT, PcieType.EVENT_COLLECTOR)

    @property
    def max_payload_supported(self) -> int:
        """Bytes.  Raises ProtocolError for reserved codes, as the next two."""
        return self._payload("maximum payload supported", self.device_capabilities.max_payload)

    @property
    def max_payload(self) -> int:
        """Bytes that the function may send at once."""
        return self._payload("maximum payload", self.device_control.max_payload)

    @property
    def max_read_request(self) -> int:
        """Bytes that the function may ask for at once."""
        return self._payload("maximum read request", self.device_control.max_read_request)

    @property
    def link_capability(self) -> Link | None:
        """The best that the link can do; None without a link."""
        if not self.has_link:
            return None
        capabilities = self._read(LinkCapabilities)
        return Link(_SPEEDS_GT_S.get(capabilities.max_speed), capabilities.max_width)

    @property
    def link_status(self) -> Link | None:
        """What the link does now; None without a link."""
        if not self.has_link:
            return None
        status = self._read(LinkStatus)
        return Link(_SPEEDS_GT_S.get(status.speed), status.width)

    def facts(self) -> Mapping[str, object]:
        capability, status = self.link_capability, self.link_status
        return {
            "version": self.capabilities.version,
            "type": self.type.name,
            "flr": self.has_flr,
            "max_payload_supported": self.max_payload_supported,
            "max_payload": self.max_payload,
            "max_read_request": self.max_read_request,
            "link_capability": None if capability is None else capability.as_dict(),
            "link_status": None if status is None else status.as_dict(),
        }

    def _payload(self, what: str, code: int) -> int:
        if code > _MAX_PAYLOAD_CODE:
            raise ProtocolError(
                f"PCI Express at {self.offset:#x}: {what} reads {code}, which is reserved"
            )
        return 128 << code
