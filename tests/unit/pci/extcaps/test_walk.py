from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import ConfigSpace
from pymmio.pci.extcaps.base import ExtendedCapabilityHeader, ExtendedCapabilityId

from .. import spaces


def walked(fake):
    caps = ConfigSpace(fake).extended_capabilities()
    return [(cap.offset, cap.id, cap.version) for cap in caps]


def test_walk_of_e1000e():
    assert walked(spaces.e1000e()) == [(0x100, 0x0001, 2), (0x140, 0x0003, 1)]


def test_text_and_dict():
    aer, serial = ConfigSpace(spaces.e1000e()).extended_capabilities()
    assert str(aer).startswith("[100 v2] AER: uncorrectable_status=none")
    assert serial.as_dict() == {
        "id": 3,
        "name": "device serial number",
        "version": 1,
        "offset": 0x140,
        "serial_number": "52-54-00-ff-ff-12-34-56",
    }


def test_a_space_of_256_bytes_has_none_and_is_not_read_beyond():
    assert walked(spaces.virtio_rng()) == []


@pytest.mark.parametrize("header", [0, 0xFFFF_FFFF])
def test_nothing_at_100h_is_an_empty_list(header):
    fake = spaces.nvme()
    fake.put(0x100, 4, header)
    assert walked(fake) == []


def test_a_null_capability_in_front_is_followed():
    fake = spaces.e1000e()
    fake.put(0x100, 4, 0x1400_0000)
    assert walked(fake) == [(0x100, 0, 0), (0x140, 3, 1)]


def test_reserved_low_bits_of_pointers_are_masked():
    fake = spaces.e1000e()
    fake.put(0x100, 4, 0x1432_0001)
    assert walked(fake) == [(0x100, 1, 2), (0x140, 3, 1)]


def test_the_last_dword_can_hold_a_header():
    fake = spaces.nvme()
    fake.put(0x100, 4, 0xFFC2_0001)
    fake.put(0xFFC, 4, 0x0001_0010)
    assert walked(fake) == [(0x100, 1, 2), (0xFFC, 0x10, 1)]


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({0x140: 0x1001_0003}, r"0x100 was there before.*0x100 AER, 0x140 device serial number$"),
        ({0x140: 0x1401_0003}, r"0x140 was there before"),
        ({0x140: 0x0401_0003}, r"0x040 points below 0x100"),
        ({0x140: 0xFFFF_FFFF}, r"nothing answers at 0x140.*chain so far: 0x100 AER$"),
    ],
)
def test_damaged_lists_are_refused_with_the_chain(headers, says):
    fake = spaces.e1000e()
    for offset, value in headers.items():
        fake.put(offset, 4, value)
    with pytest.raises(ProtocolError, match=says):
        ConfigSpace(fake).extended_capabilities()


def test_names():
    fake = spaces.nvme()
    names = {}
    for number in (0x0D, 0x0E, 0x0F, 0x10, 0x15, 0x1B, 0x2E, 0x7777):
        fake.put(0x100, 4, 0x0001_0000 | number)
        names[number] = ConfigSpace(fake).extended_capabilities()[0].name
    assert names == {
        0x0D: "ACS",
        0x0E: "ARI",
        0x0F: "ATS",
        0x10: "SR-IOV",
        0x15: "resizable BAR",
        0x1B: "PASID",
        0x2E: "DOE",
        0x7777: "extended capability 0x7777",
    }


def test_numbers_are_those_of_the_specification():
    assert {f.name: f.mask for f in ExtendedCapabilityHeader.spec.fields.values()} == {
        "id": 0x0000_FFFF,
        "version": 0x000F_0000,
        "next": 0xFFF0_0000,
    }
    ids = {member.name: int(member) for member in ExtendedCapabilityId}
    pinned = {
        "AER": 0x01,
        "DEVICE_SERIAL_NUMBER": 0x03,
        "VENDOR_SPECIFIC": 0x0B,
        "ACS": 0x0D,
        "ARI": 0x0E,
        "ATS": 0x0F,
        "SR_IOV": 0x10,
        "PAGE_REQUEST": 0x13,
        "RESIZABLE_BAR": 0x15,
        "LTR": 0x18,
        "SECONDARY_PCIE": 0x19,
        "PASID": 0x1B,
        "DPC": 0x1D,
        "L1_PM_SUBSTATES": 0x1E,
        "PTM": 0x1F,
        "DVSEC": 0x23,
        "DATA_LINK_FEATURE": 0x25,
        "DOE": 0x2E,
    }
    assert {name: ids[name] for name in pinned} == pinned
