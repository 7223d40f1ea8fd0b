from __future__ import annotations

import pytest

from pymmio.pci import ConfigSpace, PciExpress
from pymmio.pci.caps.link import Aspm, Link, LinkCapabilities, LinkControl, LinkStatus

from .. import dumps, spaces


def express_of(fake) -> PciExpress:
    capability = ConfigSpace(fake).capability(PciExpress)
    assert capability is not None
    return capability


def test_a_link_that_is_as_good_as_it_can_be():
    state = express_of(spaces.nvme()).link_state
    assert state is not None
    assert (state.now, state.best, state.is_degraded) == (Link(2.5, 1), Link(2.5, 1), False)
    assert (state.aspm_supported, state.aspm, state.is_active) == (Aspm.L0S, Aspm(0), None)
    assert str(state) == "2.5 GT/s x1, ASPM off"


@pytest.mark.parametrize("status", [0x0013, 0x0041, 0x0000])
def test_slower_or_narrower_is_degraded(status):
    fake = spaces.nvme()
    fake.put(0x8C, 4, 0x0000_0043)
    fake.put(0x92, 2, status)
    state = express_of(fake).link_state
    assert state is not None
    assert state.is_degraded
    assert "of 8 GT/s x4" in str(state)


def test_aspm_training_and_activity():
    fake = spaces.nvme()
    fake.put(0x8C, 4, 0x0010_0C11)
    fake.put(0x90, 2, 0x0003)
    fake.put(0x92, 2, 0x2811)
    state = express_of(fake).link_state
    assert state is not None
    assert state.as_dict() == {
        "now": "2.5 GT/s x1",
        "best": "2.5 GT/s x1",
        "is_degraded": False,
        "is_training": True,
        "is_active": True,
        "aspm_supported": ["L0s", "L1"],
        "aspm": ["L0s", "L1"],
    }
    assert str(state) == "2.5 GT/s x1, ASPM L0s+L1, training"


def test_no_link_inside_the_root_complex():
    assert express_of(spaces.literal(dumps.NVME, 4096)).link_state is None


def test_root_port_of_qemu_is_degraded_while_nothing_is_plugged_in():
    state = express_of(spaces.literal(dumps.ROOT_PORT, 4096)).link_state
    assert state is not None
    assert str(state) == "2.5 GT/s x1 of 16 GT/s x32, ASPM off"


@pytest.mark.parametrize(
    ("register", "offset", "width", "masks"),
    [
        (
            LinkCapabilities,
            0x0C,
            32,
            {
                "max_speed": 0x0000_000F,
                "max_width": 0x0000_03F0,
                "aspm": 0x0000_0C00,
                "l0s_exit_latency": 0x0000_7000,
                "l1_exit_latency": 0x0003_8000,
                "clock_power_management": 0x0004_0000,
                "surprise_down_reporting": 0x0008_0000,
                "data_link_active_reporting": 0x0010_0000,
                "bandwidth_notification": 0x0020_0000,
                "port_number": 0xFF00_0000,
            },
        ),
        (
            LinkControl,
            0x10,
            16,
            {
                "aspm": 0x0003,
                "read_completion_128": 0x0008,
                "link_disable": 0x0010,
                "retrain": 0x0020,
                "common_clock": 0x0040,
                "extended_synch": 0x0080,
                "clock_power_management": 0x0100,
            },
        ),
        (
            LinkStatus,
            0x12,
            16,
            {
                "speed": 0x000F,
                "width": 0x03F0,
                "training": 0x0800,
                "slot_clock": 0x1000,
                "data_link_active": 0x2000,
                "bandwidth_management": 0x4000,
                "autonomous_bandwidth": 0x8000,
            },
        ),
    ],
)
def test_bits_are_those_of_the_specification(register, offset, width, masks):
    assert (register.spec.offset, register.spec.width) == (offset, width)
    assert {f.name: f.mask for f in register.spec.fields.values()} == masks
