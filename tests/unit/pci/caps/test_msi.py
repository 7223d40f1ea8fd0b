from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import ConfigSpace, Msi
from pymmio.pci.caps.msi import MsiControl

from .. import spaces


def msi_with(body: str) -> Msi:
    fake = spaces.literal({0x06: "10 00", 0x34: "a0", 0xA0: "05 00" + body}, 256)
    msi = ConfigSpace(fake).capability(Msi)
    assert msi is not None
    return msi


def test_e1000e_has_one_64_bit_vector():
    msi = ConfigSpace(spaces.e1000e()).capability(Msi)
    assert msi is not None
    assert msi.as_dict() == {
        "id": 0x05,
        "name": "MSI",
        "offset": 0xD0,
        "enabled": True,
        "vectors": 1,
        "enabled_vectors": 1,
        "is_64bit": True,
        "per_vector_masking": False,
        "address": 0x1_FEE0_000C,
        "data": 0x41,
    }
    assert msi.mask_bits is None
    assert msi.pending_bits is None


def test_32_bit_layout_without_masking():
    msi = msi_with("24 00 00 10 e0 fe 34 12")
    assert (msi.is_64bit, msi.is_enabled) == (False, False)
    assert (msi.vectors, msi.enabled_vectors) == (4, 4)
    assert msi.address == 0xFEE0_1000
    assert msi.data == 0x1234


def test_32_bit_layout_with_masking():
    msi = msi_with("0a 01 00 00 e0 fe 34 12 00 00 78 56 34 12 01 00 00 80")
    assert msi.has_per_vector_masking
    assert msi.vectors == 32
    assert msi.mask_bits == 0x1234_5678
    assert msi.pending_bits == 0x8000_0001


def test_64_bit_layout_with_masking():
    msi = msi_with("81 01 00 00 e0 fe 02 00 00 00 34 12 00 00 78 56 34 12 01 00 00 80")
    assert msi.address == 0x2_FEE0_0000
    assert msi.data == 0x1234
    assert msi.mask_bits == 0x1234_5678
    assert msi.pending_bits == 0x8000_0001


@pytest.mark.parametrize("control", ["0c 00", "0e 00"])
def test_reserved_vector_counts_are_refused(control):
    with pytest.raises(ProtocolError, match=r"capable reads [67]"):
        msi_with(control).vectors


@pytest.mark.parametrize("control", ["60 00", "70 00"])
def test_reserved_counts_of_enabled_vectors_are_refused(control):
    with pytest.raises(ProtocolError, match=r"enable reads [67]"):
        msi_with(control).enabled_vectors


def test_bits_are_those_of_the_specification():
    assert {f.name: f.mask for f in MsiControl.spec.fields.values()} == {
        "enable": 0x0001,
        "multiple_message_capable": 0x000E,
        "multiple_message_enable": 0x0070,
        "address_64": 0x0080,
        "per_vector_masking": 0x0100,
    }
    assert (MsiControl.spec.offset, MsiControl.spec.width) == (2, 16)
