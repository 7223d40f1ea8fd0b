from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import ProtocolError
from pymmio.pci import Bar, BarKind, ConfigSpace, decode_bars
from tests.unit.pci.fakes import FakeConfig

dword = st.integers(0, 0xFFFF_FFFF)


@st.composite
def laid_out_bars(draw):
    """Bars that fit six registers, each with the registers' content and masks."""
    bars, dwords, masks = [], [], []
    while len(dwords) < 6:
        kinds = [None, BarKind.IO, BarKind.MEMORY32] + [BarKind.MEMORY64] * (len(dwords) < 5)
        kind = draw(st.sampled_from(kinds))
        if kind is None:
            dwords.append(0)
            masks.append(0)
            continue
        width = 64 if kind is BarKind.MEMORY64 else 32
        shift = draw(st.integers(2 if kind is BarKind.IO else 4, width - 1))
        address = draw(st.integers(0, (1 << (width - shift)) - 1)) << shift
        prefetchable = kind is not BarKind.IO and draw(st.booleans())
        flags = {BarKind.IO: 0b1, BarKind.MEMORY32: 0, BarKind.MEMORY64: 0b100}[kind]
        flags |= prefetchable << 3
        mask = (1 << width) - (1 << shift)
        bars.append(Bar(len(dwords), kind, address, prefetchable, 1 << shift))
        for half in range(width // 32):
            dwords.append((address | flags) >> 32 * half & 0xFFFF_FFFF)
            masks.append((mask | flags) >> 32 * half & 0xFFFF_FFFF)
    return tuple(bars), dwords, masks


@given(laid_out_bars())
def test_decode_gives_back_what_was_laid_out(case):
    bars, dwords, masks = case
    assert decode_bars(dwords, masks) == bars


@given(laid_out_bars(), st.integers(0, 0xFFFF))
def test_sizing_gives_back_what_was_laid_out_and_restores_it(case, command):
    bars, dwords, masks = case
    fake = FakeConfig(b"", size=256)
    fake.put(0x04, 2, command)
    at = 0
    for index, (content, mask) in enumerate(zip(dwords, masks, strict=True)):
        fake.put(0x10 + 4 * index, 4, content)
        type_bits = 0 if index < at else (0x3 if content & 1 else 0xF)
        if index >= at:
            at = index + (2 if content & 0x7 == 4 else 1)
        fake.put_mask(0x10 + 4 * index, 4, mask & ~type_bits)
    before = bytes(fake.content)
    assert ConfigSpace(fake).size_bars() == bars
    assert bytes(fake.content) == before


@given(st.lists(dword, max_size=6), st.data())
def test_any_content_gives_bars_or_a_protocol_error(dwords, data):
    masks = data.draw(
        st.none() | st.lists(dword, min_size=len(dwords), max_size=len(dwords)), label="masks"
    )
    try:
        bars = decode_bars(dwords, masks)
    except ProtocolError:
        return
    for bar in bars:
        assert bar.index + bar.slots <= len(dwords)
        if masks is not None:
            assert bar.size is not None
            assert bar.size & (bar.size - 1) == 0
            assert bar.address % bar.size == 0
