from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import ConfigSpace, MsiX, MsiXPlace
from pymmio.pci.caps.msix import MsiXControl, MsiXPendingPointer, MsiXTablePointer

from .. import spaces


def msix_of(fake) -> MsiX:
    msix = ConfigSpace(fake).capability(MsiX)
    assert msix is not None
    return msix


def test_nvme_has_65_vectors_in_bar_0():
    msix = msix_of(spaces.nvme())
    assert msix.as_dict() == {
        "id": 0x11,
        "name": "MSI-X",
        "offset": 0x40,
        "enabled": True,
        "masked": False,
        "vectors": 65,
        "table": {"bar": 0, "offset": 0x2000, "size": 65 * 16},
        "pending": {"bar": 0, "offset": 0x3000, "size": 16},
    }


def test_e1000e_has_its_tables_in_bar_3():
    msix = msix_of(spaces.e1000e())
    assert not msix.is_enabled
    assert msix.table == MsiXPlace(bar=3, offset=0, size=80)
    assert msix.pending == MsiXPlace(bar=3, offset=0x2000, size=8)


def test_text_tells_everything_in_one_line():
    assert str(msix_of(spaces.nvme())) == (
        "[40] MSI-X: enabled=yes masked=no vectors=65"
        " table=bar:0,offset:0x2000,size:1040 pending=bar:0,offset:0x3000,size:16"
    )


def test_the_object_is_a_live_view():
    fake = spaces.nvme()
    msix = msix_of(fake)
    fake.put(0x42, 2, 0x47FF)
    assert not msix.is_enabled
    assert msix.is_masked
    assert msix.vectors == 2048
    assert msix.pending.size == 256


@pytest.mark.parametrize("bir", [6, 7])
def test_reserved_bar_indices_are_refused(bir):
    fake = spaces.nvme()
    fake.put(0x44, 1, bir)
    fake.put(0x48, 1, bir)
    msix = msix_of(fake)
    with pytest.raises(ProtocolError, match=f"BAR {bir}"):
        msix.table
    with pytest.raises(ProtocolError, match=f"BAR {bir}"):
        msix.pending


def test_tables_that_fit_pass():
    msix_of(spaces.nvme()).check_fits({0: 0x4000})
    msix_of(spaces.nvme()).check_fits({0: 0x3010})


@pytest.mark.parametrize(
    ("table", "pending", "sizes", "says"),
    [
        (0x2000, 0x3000, {}, "table"),
        (0x2000, 0x3000, {0: 0x2000}, "table"),
        (0x2000, 0x3000, {0: 0x300F}, "pending"),
        (0x2001, 0x3000, {0: 0x4000}, "BAR1"),
        (0xFFFF_FFF8, 0x3000, {0: 0x4000}, "table"),
        (0x2000, 0x2408, {0: 0x4000}, "overlap"),
        (0x2000, 0x2000, {0: 0x4000}, "overlap"),
    ],
)
def test_tables_outside_their_bars_or_over_each_other_are_refused(table, pending, sizes, says):
    fake = spaces.nvme()
    fake.put(0x44, 4, table)
    fake.put(0x48, 4, pending)
    with pytest.raises(ProtocolError, match=says):
        msix_of(fake).check_fits(sizes)


def test_bits_are_those_of_the_specification():
    masks = {f.name: f.mask for f in MsiXControl.spec.fields.values()}
    assert masks == {"table_size": 0x07FF, "function_mask": 0x4000, "enable": 0x8000}
    pointer = {"bir": 0x0000_0007, "offset": 0xFFFF_FFF8}
    assert {f.name: f.mask for f in MsiXTablePointer.spec.fields.values()} == pointer
    assert {f.name: f.mask for f in MsiXPendingPointer.spec.fields.values()} == pointer
    assert (MsiXControl.spec.offset, MsiXControl.spec.width) == (2, 16)
    assert (MsiXTablePointer.spec.offset, MsiXPendingPointer.spec.offset) == (4, 8)
