from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci.extcaps import ResizableBar, ResizableBarEntry
from pymmio.pci.extcaps.resizable_bar import ResizableBarCapability, ResizableBarControl

from .builders import masks, only, space_with

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


def rebar(body: str, **where: int) -> ResizableBar:
    found = only(space_with(0x0015, body, **where))
    assert isinstance(found, ResizableBar)
    return found


def test_two_bars():
    # BAR0: 256 MiB to 1 GiB, now 512 MiB; BAR2: 1 MiB or 256 TiB, now 256 TiB
    found = rebar("00 70 00 00 40 09 00 0010 00 00 00 02 1c 01 00")
    assert found.entries == (
        ResizableBarEntry(0, 512 * MIB, (256 * MIB, 512 * MIB, GIB)),
        ResizableBarEntry(2, 256 * TIB, (MIB, 256 * TIB)),
    )
    assert found.facts() == {
        "bars": [
            {"bar": 0, "size": "512M", "sizes": ["256M", "512M", "1G"]},
            {"bar": 2, "size": "256T", "sizes": ["1M", "256T"]},
        ]
    }
    assert "bars=bar:0,size:512M,sizes:256M,512M,1G;bar:2" in str(found)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("10 00 00 00 00 00 00 00", "0 resizable BARs"),
        ("10 00 00 00 e0 00 00 00", "7 resizable BARs"),
        ("10 00 00 00 26 00 00 00", "names BAR 6"),
        ("10 00 00 00 40 00 00 0010 00 00 00 00 00 00 00", "BAR0 is there twice"),
        ("20 00 00 00 20 00 00 00", "BAR0 has 1M, which is none of 2M"),
        ("00 00 00 00 20 3f 00 00", "no sizes at all"),
    ],
)
def test_what_no_function_may_say_is_refused(body, says):
    with pytest.raises(ProtocolError, match=says):
        rebar(body).entries


def test_entries_beyond_the_space_are_refused():
    with pytest.raises(ProtocolError, match="beyond the 0x1000"):
        rebar("10 00 00 00 c0 00 00 00", at=0xFF0).facts()


def test_bits_are_those_of_the_specification():
    assert masks(ResizableBarCapability) == {"sizes": 0xFFFF_FFF0}
    assert masks(ResizableBarControl) == {
        "bar": 0x0000_0007,
        "count": 0x0000_00E0,
        "size": 0x0000_3F00,
        "larger_sizes": 0xFFFF_0000,
    }
