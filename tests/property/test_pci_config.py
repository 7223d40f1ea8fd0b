from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import DeviceGone, ProtocolError
from pymmio.pci import ConfigSpace
from pymmio.pci.extcaps.walk import EXTENDED_FAMILIES
from tests.unit.pci.fakes import FakeConfig


@st.composite
def hostile_spaces(draw):
    """Random bytes, biased to what the code follows: pointers, ids, headers."""
    size = draw(st.sampled_from([256, 4096]))
    fake = FakeConfig(draw(st.binary(min_size=256, max_size=256)), size=size)
    fake.put(0x06, 2, draw(st.sampled_from([0x0010, 0x0000, 0xFFFF])))
    fake.put(0x0E, 1, draw(st.sampled_from([0, 0, 0, 1, 2, 3, 0xFF])))
    pointer = st.integers(0x40, 0xFF) | st.sampled_from([0, 0x3F, 0xFC, 0xFF])
    fake.put(0x34, 1, draw(pointer))
    at = fake.peek(0x34, 1) & 0xFC
    for _ in range(draw(st.integers(0, 50))):
        fake.put(at, 1, draw(st.sampled_from([0x01, 0x05, 0x09, 0x10, 0x11]) | st.integers(0, 255)))
        fake.put(at + 1, 1, draw(pointer))
        at = fake.peek(at + 1, 1) & 0xFC
    if size == 4096:
        at = 0x100
        for _ in range(draw(st.integers(0, 20))):
            following = draw(st.integers(0x100, 0xFFF) | st.sampled_from([0, 0xFC, 0xFFC]))
            known = st.sampled_from(list(EXTENDED_FAMILIES)).map(lambda number: 1 << 16 | number)
            fake.put(at, 4, following << 20 | draw(known | st.integers(0, 0xF_FFFF)))
            body = draw(st.binary(max_size=64))[: 4096 - at - 4]
            fake.content[at + 4 : at + 4 + len(body)] = body
            at = following & 0xFFC
    return fake


def outcome(action):
    try:
        return action()
    except ProtocolError:
        return None


@given(hostile_spaces())
def test_hostile_content_gives_values_or_a_protocol_error_and_changes_nothing(fake):
    config = ConfigSpace(fake)
    before = bytes(fake.content)
    for cap in outcome(config.capabilities) or ():
        try:
            outcome(cap.as_dict)
            outcome(cap.__str__)
            outcome(lambda cap=cap: cap.power_state if hasattr(cap, "power_state") else None)
        except DeviceGone:
            assert b"\xff\xff" in before
    for cap in outcome(config.extended_capabilities) or ():
        assert str(cap)
        assert cap.as_dict()["offset"] >= 0x100
    outcome(config.bars)
    outcome(config.as_dict)
    assert config._repr_html_()
    assert len(config.survey_capabilities().damage) <= 2
    assert not fake.writes
    assert bytes(fake.content) == before


@given(hostile_spaces())
def test_a_walk_visits_each_place_at_most_once(fake):
    config = ConfigSpace(fake)
    for walk in (config.capabilities, config.extended_capabilities):
        fake.log.clear()
        caps = outcome(walk)
        assert len(fake.log) <= 3 + 2 * 960
        if caps is not None:
            offsets = [cap.offset for cap in caps]
            assert len(set(offsets)) == len(offsets)
            assert all(offset % 4 == 0 for offset in offsets)


@given(hostile_spaces())
def test_sizing_hostile_bars_restores_them(fake):
    for offset in range(0x10, 0x28, 4):
        fake.put_mask(offset, 4, fake.peek(offset + 0x40, 4))
    before = bytes(fake.content)
    try:
        outcome(ConfigSpace(fake).size_bars)
    except DeviceGone:
        assert before[:8] == b"\xff" * 8
    assert bytes(fake.content) == before


@given(st.binary(max_size=256), st.sampled_from([256, 4096]))
def test_dump_gives_the_bytes(content, size):
    fake = FakeConfig(content, size=size)
    assert ConfigSpace(fake).dump() == bytes(fake.content)
