"""PCI Express capability: what kind of function, its link, payloads, function-level reset."""

from __future__ import annotations

import enum

from pymmio.errors import ProtocolError
from pymmio.pci.caps.base import Capability
from pymmio.pci.caps.link import Link, LinkCapabilities, LinkControl, LinkState, LinkStatus
from pymmio.pci.caps.slot import Slot, SlotCapabilities, SlotControl, SlotStatus
from pymmio.pci.view import Facts
from pymmio.regs import RESERVED, RO, RW, W1C, Field, Register

__all__ = [
    "DeviceCapabilities",
    "DeviceControl",
    "DeviceStatus",
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


_MAX_PAYLOAD_CODE = 5  # 4096 bytes; 6 and 7 are reserved, PCI Express 5.0 §7.5.3.3


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
        return Link.of_codes(capabilities.max_speed, capabilities.max_width)

    @property
    def link_status(self) -> Link | None:
        """What the link does now; None without a link."""
        if not self.has_link:
            return None
        status = self._read(LinkStatus)
        return Link.of_codes(status.speed, status.width)

    @property
    def link_state(self) -> LinkState | None:
        """All about the link now (three accesses); None without a link."""
        if not self.has_link:
            return None
        capabilities = self._read(LinkCapabilities)
        control, status = self._read(LinkControl), self._read(LinkStatus)
        reports = capabilities.data_link_active_reporting
        return LinkState(
            now=Link.of_codes(status.speed, status.width),
            best=Link.of_codes(capabilities.max_speed, capabilities.max_width),
            is_training=bool(status.training),
            is_active=bool(status.data_link_active) if reports else None,
            aspm_supported=capabilities.aspm,
            aspm=control.aspm,
        )

    @property
    def slot(self) -> Slot | None:
        """The slot below this port now (three accesses); None where there is none."""
        capabilities = self.capabilities
        has_ports = capabilities.type in (PcieType.ROOT_PORT, PcieType.DOWNSTREAM_PORT)
        if not (has_ports and capabilities.slot_implemented):
            return None
        return Slot.of(
            self._read(SlotCapabilities), self._read(SlotControl), self._read(SlotStatus)
        )

    def facts(self) -> Facts:
        capability, status = self.link_capability, self.link_status
        state, slot = self.link_state, self.slot
        return {
            "version": self.capabilities.version,
            "type": self.type.name,
            "flr": self.has_flr,
            "max_payload_supported": self.max_payload_supported,
            "max_payload": self.max_payload,
            "max_read_request": self.max_read_request,
            "link_capability": None if capability is None else capability.as_dict(),
            "link_status": None if status is None else status.as_dict(),
            "link_degraded": None if state is None else state.is_degraded,
            "aspm_supported": None if state is None else state.aspm_supported.names(),
            "aspm": None if state is None else state.aspm.names(),
            "slot": None if slot is None else slot.as_dict(),
        }

    def _payload(self, what: str, code: int) -> int:
        if code > _MAX_PAYLOAD_CODE:
            raise ProtocolError(
                f"PCI Express at {self.offset:#x}: {what} reads {code}, which is reserved"
            )
        return 128 << code
