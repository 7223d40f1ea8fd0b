from __future__ import annotations

import pytest

from pymmio.pci import ConfigSpace, PciExpress
from pymmio.pci.caps.slot import Slot, SlotCapabilities, SlotControl, SlotStatus

from .. import dumps, spaces


def slot_of(fake) -> Slot | None:
    capability = ConfigSpace(fake).capability(PciExpress)
    assert capability is not None
    return capability.slot


def test_an_endpoint_has_none():
    assert slot_of(spaces.nvme()) is None


def test_root_port_of_qemu_while_nothing_is_plugged_in():
    slot = slot_of(spaces.literal(dumps.ROOT_PORT, 4096))
    assert slot is not None
    assert slot.as_dict() == {
        "number": 0,
        "card_present": False,
        "is_powered": True,
        "power_limit_w": 0.0,
        "hot_plug": True,
        "surprise": True,
        "power_fault": False,
    }


def test_a_port_without_a_slot():
    fake = spaces.literal(dumps.ROOT_PORT, 4096)
    fake.put(0x56, 2, 0x0042)
    assert slot_of(fake) is None


@pytest.mark.parametrize(
    ("limit", "scale", "watts"),
    [
        (75, 0, 75.0),
        (255, 1, 25.5),
        (25, 3, 0.025),
        (0xEF, 0, 239.0),
        (0xF0, 0, 250.0),
        (0xF1, 0, 275.0),
        (0xF2, 0, 300.0),
        (0xF3, 0, None),
    ],
)
def test_power_limit(limit, scale, watts):
    capabilities = SlotCapabilities(power_limit=limit, power_limit_scale=scale)
    assert Slot.of(capabilities, SlotControl(), SlotStatus()).power_limit_w == watts


def test_power_and_presence():
    slot = Slot.of(
        SlotCapabilities(power_controller=1, number=7), SlotControl(power_off=1), SlotStatus(0x0002)
    )
    assert (slot.number, slot.is_powered, slot.card_present, slot.power_fault) == (
        7,
        False,
        False,
        True,
    )
    assert Slot.of(SlotCapabilities(), SlotControl(), SlotStatus()).is_powered is None


def test_bits_are_those_of_the_specification():
    assert {f.name: f.mask for f in SlotCapabilities.spec.fields.values()} == {
        "attention_button": 0x0001,
        "power_controller": 0x0002,
        "mrl_sensor": 0x0004,
        "attention_indicator": 0x0008,
        "power_indicator": 0x0010,
        "hot_plug_surprise": 0x0020,
        "hot_plug": 0x0040,
        "power_limit": 0x0000_7F80,
        "power_limit_scale": 0x0001_8000,
        "interlock": 0x0002_0000,
        "no_command_completed": 0x0004_0000,
        "number": 0xFFF8_0000,
    }
    assert {f.name: f.mask for f in SlotControl.spec.fields.values()} == {
        "attention_button_enable": 0x0001,
        "power_fault_enable": 0x0002,
        "mrl_changed_enable": 0x0004,
        "presence_changed_enable": 0x0008,
        "command_completed_enable": 0x0010,
        "hot_plug_enable": 0x0020,
        "attention_indicator": 0x00C0,
        "power_indicator": 0x0300,
        "power_off": 0x0400,
        "interlock": 0x0800,
        "link_changed_enable": 0x1000,
    }
    assert {f.name: f.mask for f in SlotStatus.spec.fields.values()} == {
        "attention_button_pressed": 0x0001,
        "power_fault": 0x0002,
        "mrl_changed": 0x0004,
        "presence_changed": 0x0008,
        "command_completed": 0x0010,
        "mrl_open": 0x0020,
        "card_present": 0x0040,
        "interlock_engaged": 0x0080,
        "link_changed": 0x0100,
    }
    offsets = [r.spec.offset for r in (SlotCapabilities, SlotControl, SlotStatus)]
    assert offsets == [0x14, 0x18, 0x1A]
