"""The slot below a PCI Express port: what is in it, how much power, hot-plug."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.regs import RO, RW, W1C, Field, Register

__all__ = ["Slot", "SlotCapabilities", "SlotControl", "SlotStatus"]


class SlotCapabilities(Register, offset=0x14, width=32, access=RO):
    """Slot Capabilities (PCI Express 5.0 §7.5.3.9)."""

    attention_button = Field(bit=0)
    power_controller = Field(bit=1)
    mrl_sensor = Field(bit=2)
    attention_indicator = Field(bit=3)
    power_indicator = Field(bit=4)
    hot_plug_surprise = Field(bit=5)
    hot_plug = Field(bit=6)
    power_limit = Field(bits=(7, 14))
    power_limit_scale = Field(bits=(15, 16), doc="times 10 ** -n watts")
    interlock = Field(bit=17)
    no_command_completed = Field(bit=18)
    number = Field(bits=(19, 31), doc="physical slot number")


class SlotControl(Register, offset=0x18, width=16, access=RW):
    """Slot Control (PCI Express 5.0 §7.5.3.10)."""

    attention_button_enable = Field(bit=0)
    power_fault_enable = Field(bit=1)
    mrl_changed_enable = Field(bit=2)
    presence_changed_enable = Field(bit=3)
    command_completed_enable = Field(bit=4)
    hot_plug_enable = Field(bit=5)
    attention_indicator = Field(bits=(6, 7))
    power_indicator = Field(bits=(8, 9))
    power_off = Field(bit=10, doc="power controller control")
    interlock = Field(bit=11)
    link_changed_enable = Field(bit=12)


class SlotStatus(Register, offset=0x1A, width=16, access=RW):
    """Slot Status (PCI Express 5.0 §7.5.3.11)."""

    attention_button_pressed = Field(bit=0, access=W1C)
    power_fault = Field(bit=1, access=W1C)
    mrl_changed = Field(bit=2, access=W1C)
    presence_changed = Field(bit=3, access=W1C)
    command_completed = Field(bit=4, access=W1C)
    mrl_open = Field(bit=5, access=RO)
    card_present = Field(bit=6, access=RO)
    interlock_engaged = Field(bit=7, access=RO)
    link_changed = Field(bit=8, access=W1C)


# Codes of the power limit from F0h on while the scale is 0: PCI Express 5.0 §7.5.3.9.
_ABOVE_239_W = {0xF0: 250.0, 0xF1: 275.0, 0xF2: 300.0}
_FIRST_SPECIAL = 0xF0


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot at one moment.

    ``power_limit_w`` is what a card may take, in watts, None for a code without a meaning.
    ``is_powered`` is None where the port does not control it.
    """

    number: int
    card_present: bool
    is_powered: bool | None
    power_limit_w: float | None
    hot_plug: bool
    surprise: bool
    power_fault: bool

    @classmethod
    def of(cls, capabilities: SlotCapabilities, control: SlotControl, status: SlotStatus) -> Slot:
        """Make it of the three registers."""
        return cls(
            number=capabilities.number,
            card_present=bool(status.card_present),
            is_powered=not control.power_off if capabilities.power_controller else None,
            power_limit_w=_watts(capabilities.power_limit, capabilities.power_limit_scale),
            hot_plug=bool(capabilities.hot_plug),
            surprise=bool(capabilities.hot_plug_surprise),
            power_fault=bool(status.power_fault),
        )

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "number": self.number,
            "card_present": self.card_present,
            "is_powered": self.is_powered,
            "power_limit_w": self.power_limit_w,
            "hot_plug": self.hot_plug,
            "surprise": self.surprise,
            "power_fault": self.power_fault,
        }


def _watts(limit: int, scale: int) -> float | None:
    if scale == 0 and limit >= _FIRST_SPECIAL:
        return _ABOVE_239_W.get(limit)
    return float(limit / 10**scale)
