from __future__ import annotations

import pytest

from pymmio.errors import DeclarationError
from pymmio.pci import PciIds, PciMatch

NVME = PciIds(vendor_id=0x1B36, device_id=0x0010, class_code=0x010802)


def test_vendor_and_device_match():
    assert PciMatch(vendor_id=0x1B36, device_id=0x0010).matches(NVME)
    assert not PciMatch(vendor_id=0x1B36, device_id=0x0011).matches(NVME)
    assert not PciMatch(vendor_id=0x8086, device_id=0x0010).matches(NVME)


def test_vendor_alone_matches_all_its_devices():
    assert PciMatch(vendor_id=0x1B36).matches(NVME)


def test_class_matches_whatever_the_vendor():
    assert PciMatch(class_code=0x010802).matches(NVME)
    assert not PciMatch(class_code=0x010803).matches(NVME)


def test_class_mask_leaves_bits_open():
    assert PciMatch(class_code=0x010803, class_mask=0xFFFF00).matches(NVME)
    assert not PciMatch(class_code=0x010903, class_mask=0xFFFF00).matches(NVME)


def test_all_given_ids_must_match():
    assert not PciMatch(vendor_id=0x8086, class_code=0x010802).matches(NVME)
    assert not PciMatch(vendor_id=0x1B36, class_code=0x020000).matches(NVME)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"class_mask": 0xFF0000},
        {"device_id": 0x10},
        {"vendor_id": 0x10000},
        {"vendor_id": -1},
        {"vendor_id": 1, "device_id": 0x10000},
        {"class_code": 0x1000000},
    ],
)
def test_wrong_declarations_are_refused(wrong):
    with pytest.raises(DeclarationError):
        PciMatch(**wrong)


def test_ids_as_dict_has_every_number():
    assert NVME.as_dict() == {
        "vendor_id": 0x1B36,
        "device_id": 0x0010,
        "class_code": 0x010802,
        "revision_id": 0,
        "subsystem_vendor_id": 0,
        "subsystem_id": 0,
    }
