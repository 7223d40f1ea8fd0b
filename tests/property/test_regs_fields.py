"""Registers of any declaration: fields round-trip, updates touch nothing else."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import DeclarationError, UnsafeUpdate
from pymmio.regs import (
    RESERVED,
    RO,
    RW,
    W1C,
    W1S,
    WO,
    Field,
    Reg,
    RegArray,
    Register,
    RegisterFile,
)
from tests.unit.regs.fake_space import FakeSpace

WIDTHS = st.sampled_from([8, 16, 32, 64])


@st.composite
def ranges(draw, width):
    """Ranges of bits without overlap, in any order."""
    cuts = sorted(draw(st.sets(st.integers(0, width), min_size=2)))
    pieces = [(low, high - 1) for low, high in itertools.pairwise(cuts)]
    return draw(st.permutations(draw(st.lists(st.sampled_from(pieces), unique=True, min_size=1))))


def register(width, places, kinds):
    fields = {
        f"f{number}": Field(bits=place, access=kind)
        for number, (place, kind) in enumerate(zip(places, kinds, strict=True))
    }
    return type(Register)("REG", (Register,), fields, offset=0, width=width)


@st.composite
def registers(draw, kinds):
    width = draw(WIDTHS)
    places = draw(ranges(width))
    return register(width, places, [draw(st.sampled_from(kinds)) for _ in places])


@st.composite
def some_fields(draw, cls, kinds):
    """Values for a choice of the fields whose access is one of ``kinds``."""
    able = [f for f in cls.spec.fields.values() if f.access in kinds]
    chosen = draw(st.lists(st.sampled_from(able), unique=True)) if able else []
    return {f.name: draw(st.integers(0, f.bits.limit)) for f in chosen}


def bound(cls, space):
    return type("File", (RegisterFile,), {"reg": Reg(cls)})(space).reg


def raws(cls):
    return st.integers(0, cls.spec.all_ones)


def independent(raw, place):
    """The bits of a field, taken out of the binary digits."""
    digits = f"{raw:064b}"[::-1]
    return int(digits[place.low : place.high + 1][::-1], 2)


@given(st.data())
def test_fields_round_trip(data):
    cls = data.draw(registers([RO, RW, W1C, W1S]))
    values = data.draw(some_fields(cls, [RO, RW, W1C, W1S]))
    start = data.draw(raws(cls))
    value = cls(start, **values)
    for name, field in cls.spec.fields.items():
        assert getattr(value, name) == values.get(name, independent(start, field.bits))
        assert getattr(value, name) == independent(int(value), field.bits)
    assert cls(int(value)) == value
    assert cls(value.neutral(), **value.fields()) == cls(value.neutral()).replace(**value.fields())


@given(st.data())
def test_replace_changes_no_other_bit(data):
    cls = data.draw(registers([RW]))
    values = data.draw(some_fields(cls, [RW]))
    start = data.draw(raws(cls))
    named = sum(cls.spec.fields[name].mask for name in values)
    assert (int(cls(start).replace(**values)) ^ start) & ~named == 0


@given(st.data())
def test_update_never_changes_bits_outside_the_named_fields(data):
    cls = data.draw(registers([RO, RW, RESERVED]))
    values = data.draw(some_fields(cls, [RW]).filter(bool) if _any(cls, RW) else st.none())
    if values is None:
        return
    space = FakeSpace(8)
    before = data.draw(raws(cls))
    space.poke(0, cls.spec.width, before)
    written = bound(cls, space).update(**values)
    after = space.peek(0, cls.spec.width)
    named = sum(cls.spec.fields[name].mask for name in values)
    assert (before ^ after) & ~named == 0
    assert int(written) == after
    assert {name: getattr(written, name) for name in values} == values
    assert [entry[0] for entry in space.log] == ["read", "write"]


@given(st.data())
def test_update_refuses_each_register_with_a_dangerous_field(data):
    cls = data.draw(registers([RO, RW, RESERVED, W1C, W1S, WO]))
    values = data.draw(some_fields(cls, [RW]))
    dangerous = any(_any(cls, kind) for kind in (W1C, W1S, WO))
    if not (dangerous and values):
        return
    space = FakeSpace(8)
    with pytest.raises(UnsafeUpdate):
        bound(cls, space).update(**values)
    assert space.log == []


@given(st.data())
def test_clear_and_set_act_on_the_named_fields_only(data):
    cls = data.draw(registers([RO, RW, RESERVED, W1C, W1S]))
    kind = data.draw(st.sampled_from([W1C, W1S]))
    names = list(data.draw(some_fields(cls, [kind])))
    if not names:
        return
    spec = cls.spec
    space = FakeSpace(8)
    before = data.draw(raws(cls))
    space.poke(0, spec.width, before)

    def device(old, written):
        cleared = old & ~(written & spec.mask(W1C)) | written & spec.mask(W1S)
        stored = spec.mask(RW, RESERVED)
        return cleared & ~stored | written & stored

    space.acts[0] = device
    getattr(bound(cls, space), "clear" if kind is W1C else "set")(*names)
    named = sum(spec.fields[name].mask for name in names)
    wanted = before & ~named if kind is W1C else before | named
    assert space.peek(0, spec.width) == wanted
    undeclared = spec.all_ones & ~spec.mask(*(f.access for f in spec.fields.values()))
    assert space.log[-1][3] & undeclared == 0


@given(st.data())
def test_writing_neutral_back_clears_and_sets_nothing(data):
    cls = data.draw(registers([RO, RW, RESERVED, W1C, W1S]))
    raw = data.draw(raws(cls))
    spec = cls.spec
    neutral = int(cls(raw).neutral())
    assert neutral & spec.mask(W1C, W1S) == 0
    assert neutral & spec.mask(RW, RESERVED) == raw & spec.mask(RW, RESERVED)


@given(st.data())
def test_overlapping_fields_are_always_refused(data):
    width = data.draw(WIDTHS)
    place = st.tuples(st.integers(0, width - 1), st.integers(0, width - 1)).map(sorted).map(tuple)
    one, other = data.draw(place), data.draw(place)
    overlap = bool(set(range(one[0], one[1] + 1)) & set(range(other[0], other[1] + 1)))
    if overlap:
        with pytest.raises(DeclarationError, match="overlaps"):
            register(width, [one, other], [RW, RW])
    else:
        register(width, [one, other], [RW, RW])


@given(st.data())
def test_overlapping_registers_are_always_refused(data):
    places, used = {}, {}
    for name in ("a", "b"):
        width = data.draw(WIDTHS)
        size = width // 8
        offset = data.draw(st.integers(0, 20)) * size
        count = data.draw(st.integers(1, 6))
        stride = data.draw(st.integers(1, 4)) * size
        cls = register(width, [(0, 0)], [RW])
        places[name] = RegArray(cls, offset=offset, count=count, stride=stride)
        used[name] = {
            offset + index * stride + byte for index in range(count) for byte in range(size)
        }
    if used["a"] & used["b"]:
        with pytest.raises(DeclarationError, match="overlap"):
            type("File", (RegisterFile,), places)
    else:
        type("File", (RegisterFile,), places)


def _any(cls, kind):
    return any(field.access is kind for field in cls.spec.fields.values())
