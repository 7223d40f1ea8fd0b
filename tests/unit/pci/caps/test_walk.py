from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import (
    Capability,
    ConfigSpace,
    Msi,
    MsiX,
    PciExpress,
    PowerManagement,
    VendorSpecific,
)
from pymmio.pci.caps.base import CapabilityId

from .. import spaces


def walked(fake):
    return [(cap.offset, type(cap)) for cap in ConfigSpace(fake).capabilities()]


def test_walk_of_nvme_follows_the_pointers():
    assert walked(spaces.nvme()) == [
        (0x40, MsiX),
        (0x80, PciExpress),
        (0x60, PowerManagement),
    ]


def test_walk_of_e1000e_follows_the_pointers():
    assert walked(spaces.e1000e()) == [
        (0xC8, PowerManagement),
        (0xD0, Msi),
        (0xE0, PciExpress),
        (0xA0, MsiX),
    ]


def test_walk_finds_each_of_several_vendor_capabilities():
    assert walked(spaces.virtio_rng()) == [
        (0x98, MsiX),
        (0x84, VendorSpecific),
        (0x70, VendorSpecific),
        (0x60, VendorSpecific),
        (0x50, VendorSpecific),
        (0x40, VendorSpecific),
    ]


def test_capability_of_a_family_is_found_or_none():
    config = ConfigSpace(spaces.nvme())
    msix = config.capability(MsiX)
    assert msix is not None
    assert msix.offset == 0x40
    assert config.capability(Msi) is None


def test_without_the_status_bit_there_is_no_list():
    fake = spaces.nvme()
    fake.put(0x06, 2, 0)
    assert walked(fake) == []


def test_a_zero_pointer_is_an_empty_list():
    fake = spaces.nvme()
    fake.put(0x34, 1, 0x03)  # reserved bits only
    assert walked(fake) == []


def test_reserved_low_bits_of_pointers_are_masked():
    fake = spaces.nvme()
    fake.put(0x34, 1, 0x43)
    fake.put(0x41, 1, 0x82)
    fake.put(0x81, 1, 0x61)
    assert [offset for offset, _ in walked(fake)] == [0x40, 0x80, 0x60]


def test_an_unknown_id_is_a_generic_capability():
    fake = spaces.nvme()
    fake.put(0x60, 1, 0x7A)
    unknown = ConfigSpace(fake).capabilities()[-1]
    assert type(unknown) is Capability
    assert unknown.as_dict() == {"id": 0x7A, "name": "capability 0x7a", "offset": 0x60}
    assert str(unknown) == "[60] capability 0x7a"


def test_a_known_id_without_a_class_has_its_name():
    fake = spaces.nvme()
    fake.put(0x60, 1, 0x03)
    assert ConfigSpace(fake).capabilities()[-1].name == "VPD"


def test_cardbus_bridges_have_their_pointer_elsewhere():
    fake = spaces.literal(
        {0x06: "10 00", 0x0E: "02", 0x14: "dc", 0x34: "44", 0xDC: "01 00 22 fe"}, 256
    )
    assert walked(fake) == [(0xDC, PowerManagement)]


@pytest.mark.parametrize(
    ("pointers", "says"),
    [
        ({0x41: 0x40}, r"0x40 was there before.*chain so far: 0x40 MSI-X$"),
        ({0x61: 0x80}, r"0x80 was there before.*0x40 MSI-X, 0x80 PCI Express, 0x60 power man"),
        ({0x61: 0x43}, r"0x40 was there before"),
        ({0x41: 0x3C}, r"0x3c points into the header.*chain so far: 0x40 MSI-X$"),
        ({0x34: 0x04}, r"0x04 points into the header.*chain so far: empty"),
        ({0x41: 0xFC, 0xFC: 0xFF}, r"nothing answers at 0xfc.*0x40 MSI-X$"),
        ({0x0E: 0x55}, r"layout 0x55"),
    ],
)
def test_damaged_lists_are_refused_with_the_chain(pointers, says):
    fake = spaces.nvme()
    for offset, value in pointers.items():
        fake.put(offset, 1, value)
    with pytest.raises(ProtocolError, match=says):
        ConfigSpace(fake).capabilities()


def test_a_register_beyond_the_list_s_space_is_refused():
    fake = spaces.nvme()
    fake.put(0x61, 1, 0xFC)
    fake.content[0xFC:0x100] = bytes.fromhex("11 00 00 00")  # MSI-X; its table pointer is at 100h
    msix = ConfigSpace(fake).capabilities()[-1]
    assert isinstance(msix, MsiX)
    assert msix.vectors == 1
    with pytest.raises(ProtocolError, match="beyond"):
        msix.table


def test_ids_are_those_of_the_specification():
    assert {member.name: int(member) for member in CapabilityId} == {
        "NULL": 0x00,
        "POWER_MANAGEMENT": 0x01,
        "AGP": 0x02,
        "VPD": 0x03,
        "SLOT_ID": 0x04,
        "MSI": 0x05,
        "COMPACT_PCI_HOT_SWAP": 0x06,
        "PCI_X": 0x07,
        "HYPERTRANSPORT": 0x08,
        "VENDOR_SPECIFIC": 0x09,
        "DEBUG_PORT": 0x0A,
        "COMPACT_PCI_RESOURCE_CONTROL": 0x0B,
        "HOT_PLUG": 0x0C,
        "BRIDGE_SUBSYSTEM_ID": 0x0D,
        "AGP_8X": 0x0E,
        "SECURE_DEVICE": 0x0F,
        "PCI_EXPRESS": 0x10,
        "MSI_X": 0x11,
        "SATA": 0x12,
        "ADVANCED_FEATURES": 0x13,
        "ENHANCED_ALLOCATION": 0x14,
        "FLATTENING_PORTAL_BRIDGE": 0x15,
    }
