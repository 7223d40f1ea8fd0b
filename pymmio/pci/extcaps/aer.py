"""Advanced error reporting: which errors happened, which count, and the packet to blame."""

from __future__ import annotations

from pymmio.errors import ProtocolError
from pymmio.pci.caps.pcie import PcieType, PciExpress
from pymmio.pci.caps.walk import iter_capabilities
from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts, set_fields
from pymmio.regs import RO, RW, W1C, Field, Register

__all__ = [
    "Aer",
    "AerControl",
    "CorrectableMask",
    "CorrectableStatus",
    "RootErrorCommand",
    "RootErrorSource",
    "RootErrorStatus",
    "UncorrectableMask",
    "UncorrectableSeverity",
    "UncorrectableStatus",
]

_HEADER_LOG = 0x1C  # four dwords, PCI Express 5.0 §7.8.4.8
_HEADER_LOG_DWORDS = 4


class UncorrectableStatus(Register, offset=0x04, width=32, access=W1C):
    """Uncorrectable Error Status (PCI Express 5.0 §7.8.4.2)."""

    data_link_protocol = Field(bit=4)
    surprise_down = Field(bit=5)
    poisoned_tlp = Field(bit=12)
    flow_control_protocol = Field(bit=13)
    completion_timeout = Field(bit=14)
    completer_abort = Field(bit=15)
    unexpected_completion = Field(bit=16)
    receiver_overflow = Field(bit=17)
    malformed_tlp = Field(bit=18)
    ecrc = Field(bit=19)
    unsupported_request = Field(bit=20)
    acs_violation = Field(bit=21)
    uncorrectable_internal = Field(bit=22)
    mc_blocked_tlp = Field(bit=23)
    atomicop_egress_blocked = Field(bit=24)
    tlp_prefix_blocked = Field(bit=25)
    poisoned_tlp_egress_blocked = Field(bit=26)


class UncorrectableMask(UncorrectableStatus, offset=0x08, access=RW):
    """Uncorrectable Error Mask (PCI Express 5.0 §7.8.4.3)."""


class UncorrectableSeverity(UncorrectableStatus, offset=0x0C, access=RW):
    """Uncorrectable Error Severity (PCI Express 5.0 §7.8.4.4)."""


class CorrectableStatus(Register, offset=0x10, width=32, access=W1C):
    """Correctable Error Status (PCI Express 5.0 §7.8.4.5)."""

    receiver = Field(bit=0)
    bad_tlp = Field(bit=6)
    bad_dllp = Field(bit=7)
    replay_num_rollover = Field(bit=8)
    replay_timer_timeout = Field(bit=12)
    advisory_non_fatal = Field(bit=13)
    corrected_internal = Field(bit=14)
    header_log_overflow = Field(bit=15)


class CorrectableMask(CorrectableStatus, offset=0x14, access=RW):
    """Correctable Error Mask (PCI Express 5.0 §7.8.4.6)."""


class AerControl(Register, offset=0x18, width=32, access=RW):
    """Advanced Error Capabilities and Control (PCI Express 5.0 §7.8.4.7)."""

    first_error = Field(bits=(0, 4), access=RO, doc="bit of the status register it belongs to")
    ecrc_generation_capable = Field(bit=5, access=RO)
    ecrc_generation = Field(bit=6)
    ecrc_check_capable = Field(bit=7, access=RO)
    ecrc_check = Field(bit=8)
    multiple_header_capable = Field(bit=9, access=RO)
    multiple_header = Field(bit=10)
    prefix_log_present = Field(bit=11, access=RO)
    completion_timeout_log_capable = Field(bit=12, access=RO)


class RootErrorCommand(Register, offset=0x2C, width=32, access=RW):
    """Root Error Command (PCI Express 5.0 §7.8.4.9)."""

    correctable = Field(bit=0, doc="interrupt for correctable errors")
    non_fatal = Field(bit=1)
    fatal = Field(bit=2)


class RootErrorStatus(Register, offset=0x30, width=32, access=W1C):
    """Root Error Status (PCI Express 5.0 §7.8.4.10)."""

    correctable = Field(bit=0, doc="an ERR_COR message came")
    multiple_correctable = Field(bit=1)
    uncorrectable = Field(bit=2, doc="an ERR_FATAL or ERR_NONFATAL message came")
    multiple_uncorrectable = Field(bit=3)
    first_fatal = Field(bit=4)
    non_fatal = Field(bit=5)
    fatal = Field(bit=6)
    interrupt_message = Field(bits=(27, 31), access=RO)


class RootErrorSource(Register, offset=0x34, width=32, access=RO):
    """Error Source Identification (PCI Express 5.0 §7.8.4.11): requester ids."""

    correctable = Field(bits=(0, 15))
    uncorrectable = Field(bits=(16, 31))


_FIRST_ERRORS = {field.bits.low: name for name, field in UncorrectableStatus.spec.fields.items()}


class Aer(ExtendedCapability):
    """Advanced error reporting, extended capability 0001h (PCI Express 5.0 §7.8.4)."""

    __slots__ = ()

    @property
    def uncorrectable_status(self) -> UncorrectableStatus:
        """What happened since it was cleared."""
        return self._read(UncorrectableStatus)

    @property
    def uncorrectable_mask(self) -> UncorrectableMask:
        """What is not reported."""
        return self._read(UncorrectableMask)

    @property
    def uncorrectable_severity(self) -> UncorrectableSeverity:
        """What counts as fatal."""
        return self._read(UncorrectableSeverity)

    @property
    def correctable_status(self) -> CorrectableStatus:
        """What happened and was mended since it was cleared."""
        return self._read(CorrectableStatus)

    @property
    def correctable_mask(self) -> CorrectableMask:
        """What is not reported."""
        return self._read(CorrectableMask)

    @property
    def control(self) -> AerControl:
        return self._read(AerControl)

    @property
    def first_error(self) -> str | None:
        """The uncorrectable error that ``header_log`` belongs to; None where there is none.

        The pointer counts only while the bit that it names is set (§7.8.4.7).
        """
        at = self.control.first_error
        if not int(self.uncorrectable_status) & 1 << at:
            return None
        return _FIRST_ERRORS.get(at, f"bit {at}")

    @property
    def header_log(self) -> tuple[int, ...]:
        """The header of the packet that the first error is about, as four dwords."""
        return tuple(
            self._read_number(_HEADER_LOG + 4 * index, 4) for index in range(_HEADER_LOG_DWORDS)
        )

    @property
    def is_root(self) -> bool:
        """Whether it has the registers of root ports and event collectors (§7.8.4.9 on).

        False where a damaged list hides what kind of function this is.
        """
        try:
            for capability in iter_capabilities(self._config):
                if isinstance(capability, PciExpress):
                    return capability.type in (PcieType.ROOT_PORT, PcieType.EVENT_COLLECTOR)
        except ProtocolError:
            pass  # raised to whoever asks for that list
        return False

    @property
    def root_command(self) -> RootErrorCommand:
        """Which messages raise an interrupt; only where ``is_root``."""
        return self._read(RootErrorCommand)

    @property
    def root_status(self) -> RootErrorStatus:
        """Which messages came; only where ``is_root``."""
        return self._read(RootErrorStatus)

    @property
    def root_source(self) -> RootErrorSource:
        """Who sent them; only where ``is_root``."""
        return self._read(RootErrorSource)

    def facts(self) -> Facts:
        facts: dict[str, object] = {
            "uncorrectable_status": set_fields(self.uncorrectable_status),
            "uncorrectable_mask": set_fields(self.uncorrectable_mask),
            "uncorrectable_severity": set_fields(self.uncorrectable_severity),
            "correctable_status": set_fields(self.correctable_status),
            "correctable_mask": set_fields(self.correctable_mask),
            "first_error": self.first_error,
            "header_log": list(self.header_log),
        }
        if self.is_root:
            facts["root_command"] = set_fields(self.root_command)
            status = self.root_status
            facts["root_status"] = set_fields(status.replace(interrupt_message=0))
            source = self.root_source
            facts["root_source"] = {
                "correctable": _requester(source.correctable),
                "uncorrectable": _requester(source.uncorrectable),
            }
        return facts


def _requester(number: int) -> str:
    """Write a requester id as bus:device.function (PCI Express 5.0 §2.2.4.2)."""
    return f"{number >> 8:02x}:{number >> 3 & 0x1F:02x}.{number & 7}"
