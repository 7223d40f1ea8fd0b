from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import ProtocolError
from pymmio.pci.rom import read_rom
from tests.unit.pci.roms import image
from tests.unit.pci.test_rom import Source


@st.composite
def damaged_roms(draw):
    """Images one after the other, with some bytes changed."""
    data = bytearray()
    for _ in range(draw(st.integers(1, 4))):
        data += image(
            last=draw(st.booleans()),
            units=draw(st.integers(1, 4)),
            code_type=draw(st.integers(0, 255)),
            data_at=draw(st.integers(0x1A, 0x1E8)),
        )
    for at, value in draw(st.lists(st.tuples(st.integers(0, 0x40), st.integers(0, 255)))):
        data[at] = value
    data += bytes(draw(st.integers(0, 600)) // 4 * 4)
    return bytes(data[: draw(st.integers(0, len(data))) // 4 * 4])


@given(damaged_roms())
def test_images_lie_inside_one_behind_the_other_or_there_is_a_protocol_error(data):
    source = Source(data)  # refuses what lies outside
    try:
        rom = read_rom(source)
    except ProtocolError:
        return
    end = 0
    for one in rom.images:
        assert one.offset == end
        end += one.size
        assert len(rom.read_image(one)) == one.size
        rom.is_checksum_right(one)
    assert rom.size == end <= len(data)
    assert [one.is_last for one in rom.images] == [False] * (len(rom.images) - 1) + [True]
    assert rom._repr_html_()
