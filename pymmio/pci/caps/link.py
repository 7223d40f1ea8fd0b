"""The link of a PCI Express function: how fast it may be and is, and how it saves power."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pymmio.regs import RO, RW, W1C, Field, Register

__all__ = ["Aspm", "Link", "LinkCapabilities", "LinkControl", "LinkState", "LinkStatus"]


class Aspm(enum.IntFlag):
    """Active state power management, PCI Express 5.0 §5.4.1."""

    L0S = 1 << 0
    L1 = 1 << 1

    def names(self) -> list[str]:
        """Return the states by name, empty for none."""
        return [{Aspm.L0S: "L0s", Aspm.L1: "L1"}[state] for state in Aspm if state in self]


class LinkCapabilities(Register, offset=0x0C, width=32, access=RO):
    """Link Capabilities (PCI Express 5.0 §7.5.3.6)."""

    max_speed = Field(bits=(0, 3))
    max_width = Field(bits=(4, 9))
    aspm = Field(bits=(10, 11), enum=Aspm)
    l0s_exit_latency = Field(bits=(12, 14))
    l1_exit_latency = Field(bits=(15, 17))
    clock_power_management = Field(bit=18)
    surprise_down_reporting = Field(bit=19)
    data_link_active_reporting = Field(bit=20)
    bandwidth_notification = Field(bit=21)
    port_number = Field(bits=(24, 31))


class LinkControl(Register, offset=0x10, width=16, access=RW):
    """Link Control (PCI Express 5.0 §7.5.3.7)."""

    aspm = Field(bits=(0, 1), enum=Aspm)
    read_completion_128 = Field(bit=3, doc="read completion boundary 128 bytes, else 64")
    link_disable = Field(bit=4)
    retrain = Field(bit=5, doc="reads as 0")
    common_clock = Field(bit=6)
    extended_synch = Field(bit=7)
    clock_power_management = Field(bit=8)


class LinkStatus(Register, offset=0x12, width=16, access=RW):
    """Link Status (PCI Express 5.0 §7.5.3.8)."""

    speed = Field(bits=(0, 3), access=RO)
    width = Field(bits=(4, 9), access=RO)
    training = Field(bit=11, access=RO)
    slot_clock = Field(bit=12, access=RO)
    data_link_active = Field(bit=13, access=RO)
    bandwidth_management = Field(bit=14, access=W1C)
    autonomous_bandwidth = Field(bit=15, access=W1C)


# PCI Express 5.0 §7.5.3.18: bit n-1 of Supported Link Speeds, which codes count; 64 GT/s
# stands in PCI Express 6.0, same section.
_SPEEDS_GT_S = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}


@dataclass(frozen=True, slots=True)
class Link:
    """Speed in GT/s (None: a code that is not known) and number of lanes."""

    speed_gt_s: float | None
    width: int

    @classmethod
    def of_codes(cls, speed: int, width: int) -> Link:
        """Make it of what the registers say."""
        return cls(_SPEEDS_GT_S.get(speed), width)

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the values by name, ready for JSON."""
        return {"speed_gt_s": self.speed_gt_s, "width": self.width}

    def __str__(self) -> str:
        speed = "unknown speed" if self.speed_gt_s is None else f"{self.speed_gt_s:g} GT/s"
        return f"{speed} x{self.width}"


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link at one moment: what it does, and the best that this end could do.

    ``is_active`` is None where the port does not report it.
    """

    now: Link
    best: Link
    is_training: bool
    is_active: bool | None
    aspm_supported: Aspm
    aspm: Aspm

    @property
    def is_degraded(self) -> bool:
        """Whether it is slower or narrower than this end could; the other end may be why."""
        slower = (self.now.speed_gt_s or 0) < (self.best.speed_gt_s or 0)
        return slower or self.now.width < self.best.width

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "now": str(self.now),
            "best": str(self.best),
            "is_degraded": self.is_degraded,
            "is_training": self.is_training,
            "is_active": self.is_active,
            "aspm_supported": self.aspm_supported.names(),
            "aspm": self.aspm.names(),
        }

    def __str__(self) -> str:
        degraded = f" of {self.best}" if self.is_degraded else ""
        aspm = "+".join(self.aspm.names()) or "off"
        return f"{self.now}{degraded}, ASPM {aspm}{', training' if self.is_training else ''}"
