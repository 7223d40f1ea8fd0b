from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import PciAddress
from pymmio.pci.extcaps import SrIov
from pymmio.pci.extcaps.sriov import SrIovCapability, SrIovControl

from .. import dumps, spaces
from .builders import masks, only, space_with

# QEMU's igb (8086:10c9): 7 virtual functions from routing id +80h on, two apart
IGB = (
    "00 00 00 00 19 00 00 00 08 00 08 00 07 00 00 00 80 01 02 00 00 00 ca 10"
    "53 05 00 00 01 00 00 00 04 00 00 80 00 00 00 00 00 00 00 00 04 40 00 80"
)


def sriov(body: str = IGB, **changes: int) -> SrIov:
    fake = space_with(0x0010, body)
    for place, value in changes.items():
        fake.put(0x100 + int(place.removeprefix("at_"), 16), 2, value)
    found = only(fake)
    assert isinstance(found, SrIov)
    return found


def test_facts():
    assert sriov().facts() == {
        "enabled": True,
        "initial_vfs": 8,
        "total_vfs": 8,
        "num_vfs": 7,
        "first_offset": 0x180,
        "stride": 2,
        "vf_device_id": 0x10CA,
        "vf_memory_enabled": True,
        "ari_hierarchy": True,
        "supported_page_sizes": [4096, 8192, 65536, 262144, 1 << 20, 4 << 20],
        "system_page_size": 4096,
        "vf_bars": [
            "BAR0: memory at 0x80000000 (64-bit, non-prefetchable)",
            "BAR3: memory at 0x80004000 (64-bit, non-prefetchable)",
        ],
    }
    assert sriov().dependency_link == 0


def test_where_the_virtual_functions_are():
    physical = PciAddress.parse("0000:01:00.0")
    found = sriov()
    assert str(found.vf_address(physical, 0)) == "0000:02:10.0"
    assert str(found.vf_address(physical, 3)) == "0000:02:10.6"
    assert str(found.vf_address(physical, 6)) == "0000:02:11.4"
    with pytest.raises(ProtocolError, match="routing id"):
        sriov(at_14=0xFFFF).vf_address(physical, 0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"at_10": 9}, "NumVFs reads 9, which is above TotalVFs, 8"),
        ({"at_0c": 9}, "InitialVFs reads 9"),
        ({"at_20": 0}, "System Page Size reads 0x0"),
        ({"at_20": 3}, "System Page Size reads 0x3"),
        ({"at_24": 0x0006}, "memory type 3 is reserved"),
        ({"at_38": 0x0004}, "64 bits wide, but it is the last"),
    ],
)
def test_what_no_function_may_say_is_refused(changes, says):
    found = sriov(**changes)
    with pytest.raises(ProtocolError, match=says):
        found.facts()
    assert says[:20] in str(found)


def test_at_the_end_of_the_space():
    with pytest.raises(ProtocolError, match="beyond the 0x1000"):
        only(space_with(0x0010, "00" * 12, at=0xFF0)).facts()


def test_others_have_none():
    assert not any(
        isinstance(cap, SrIov)
        for cap in (only(spaces.e1000e()), only(spaces.literal(dumps.ROOT_PORT, 4096)))
    )


def test_bits_are_those_of_the_specification():
    assert masks(SrIovCapability) == {
        "migration_capable": 0x1,
        "ari_preserved": 0x2,
        "tag_10bit": 0x4,
        "migration_message": 0xFFE0_0000,
    }
    assert masks(SrIovControl) == {
        "vf_enable": 0x01,
        "migration_enable": 0x02,
        "migration_interrupt": 0x04,
        "vf_memory_enable": 0x08,
        "ari_hierarchy": 0x10,
        "tag_10bit": 0x20,
    }
    assert (SrIovCapability.spec.offset, SrIovControl.spec.offset) == (4, 8)
