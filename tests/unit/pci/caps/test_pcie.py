from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import ConfigSpace, Link, PcieType, PciExpress
from pymmio.pci.caps import pcie

from .. import spaces


def pcie_of(fake) -> PciExpress:
    capability = ConfigSpace(fake).capability(PciExpress)
    assert capability is not None
    return capability


def test_facts_of_nvme():
    assert pcie_of(spaces.nvme()).as_dict() == {
        "id": 0x10,
        "name": "PCI Express",
        "offset": 0x80,
        "version": 2,
        "type": "ENDPOINT",
        "flr": True,
        "max_payload_supported": 128,
        "max_payload": 128,
        "max_read_request": 512,
        "link_capability": {"speed_gt_s": 2.5, "width": 1},
        "link_status": {"speed_gt_s": 2.5, "width": 1},
        "link_degraded": False,
        "aspm_supported": ["L0s"],
        "aspm": [],
        "slot": None,
    }


def test_e1000e_has_no_flr_and_another_payload():
    express = pcie_of(spaces.e1000e())
    assert not express.has_flr
    assert express.max_payload_supported == 256
    assert express.max_payload == 256
    assert express.max_read_request == 4096


@pytest.mark.parametrize(
    ("register", "link"),
    [
        (0x0041, Link(2.5, 4)),
        (0x0082, Link(5.0, 8)),
        (0x0103, Link(8.0, 16)),
        (0x0204, Link(16.0, 32)),
        (0x0015, Link(32.0, 1)),
        (0x0016, Link(64.0, 1)),
        (0x0017, Link(None, 1)),
    ],
)
def test_link_status_speeds_and_widths(register, link):
    fake = spaces.nvme()
    fake.put(0x92, 2, register)
    fake.put(0x8C, 4, register)
    assert pcie_of(fake).link_status == link
    assert pcie_of(fake).link_capability == link


def test_link_as_text():
    assert str(Link(8.0, 4)) == "8 GT/s x4"
    assert str(Link(2.5, 1)) == "2.5 GT/s x1"
    assert str(Link(None, 1)) == "unknown speed x1"


@pytest.mark.parametrize(
    ("code", "kind"), [(9, PcieType.INTEGRATED_ENDPOINT), (10, PcieType.EVENT_COLLECTOR)]
)
def test_functions_inside_the_root_complex_have_no_link(code, kind):
    fake = spaces.nvme()
    fake.put(0x82, 2, code << 4 | 2)
    express = pcie_of(fake)
    assert express.type is kind
    assert express.link_status is None
    assert express.facts()["link_capability"] is None


def test_an_unknown_type_keeps_its_number():
    fake = spaces.nvme()
    fake.put(0x82, 2, 0x00F2)
    assert pcie_of(fake).type == 15
    assert "unknown" in str(pcie_of(fake))


@pytest.mark.parametrize(("offset", "shift"), [(0x84, 0), (0x88, 5), (0x88, 12)])
@pytest.mark.parametrize("code", [6, 7])
def test_reserved_payload_codes_are_refused(offset, shift, code):
    fake = spaces.nvme()
    fake.put(offset, 2, code << shift)
    with pytest.raises(ProtocolError, match=f"reads {code}"):
        pcie_of(fake).facts()


def test_types_are_those_of_the_specification():
    assert {int(member): member.name for member in PcieType} == {
        0b0000: "ENDPOINT",
        0b0001: "LEGACY_ENDPOINT",
        0b0100: "ROOT_PORT",
        0b0101: "UPSTREAM_PORT",
        0b0110: "DOWNSTREAM_PORT",
        0b0111: "PCIE_TO_PCI_BRIDGE",
        0b1000: "PCI_TO_PCIE_BRIDGE",
        0b1001: "INTEGRATED_ENDPOINT",
        0b1010: "EVENT_COLLECTOR",
    }


@pytest.mark.parametrize(
    ("register", "offset", "width", "masks"),
    [
        (
            pcie.PcieCapabilities,
            0x02,
            16,
            {
                "version": 0x000F,
                "type": 0x00F0,
                "slot_implemented": 0x0100,
                "interrupt_message": 0x3E00,
            },
        ),
        (
            pcie.DeviceCapabilities,
            0x04,
            32,
            {
                "max_payload": 0x7,
                "phantom_functions": 0x18,
                "extended_tag": 0x20,
                "flr": 0x1000_0000,
            },
        ),
        (
            pcie.DeviceControl,
            0x08,
            16,
            {
                "correctable_reporting": 0x0001,
                "non_fatal_reporting": 0x0002,
                "fatal_reporting": 0x0004,
                "unsupported_reporting": 0x0008,
                "relaxed_ordering": 0x0010,
                "max_payload": 0x00E0,
                "extended_tag": 0x0100,
                "phantom_functions": 0x0200,
                "aux_power": 0x0400,
                "no_snoop": 0x0800,
                "max_read_request": 0x7000,
                "initiate_flr": 0x8000,
            },
        ),
        (
            pcie.DeviceStatus,
            0x0A,
            16,
            {
                "correctable_error": 0x0001,
                "non_fatal_error": 0x0002,
                "fatal_error": 0x0004,
                "unsupported_request": 0x0008,
                "aux_power": 0x0010,
                "transactions_pending": 0x0020,
                "emergency_power_reduction": 0x0040,
                "reserved": 0xFF80,
            },
        ),
    ],
)
def test_bits_are_those_of_the_specification(register, offset, width, masks):
    assert (register.spec.offset, register.spec.width) == (offset, width)
    assert {f.name: f.mask for f in register.spec.fields.values()} == masks
