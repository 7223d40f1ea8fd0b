from __future__ import annotations

import enum

import pytest

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs import U8, U16, U32, U64, U128, Ascii, Bits, Bytes, Layout


class State(enum.IntEnum):
    OFF = 0
    ON = 3


class Little(Layout, size=64, byteorder="little"):
    a = U8(0)
    b = U16(1)
    c = U32(3)
    d = U64(8)
    e = U128(16)
    state = U8(32, enum=State)
    word = U16(34)
    low = Bits(word, bits=(0, 3))
    mode = Bits(word, bits=(4, 6), enum=State)
    top = Bits(word, bit=15)
    raw = Bytes(40, 4)
    text = Ascii(44, 8)
    name = Ascii(52, 8, pad=b"\0")


class Big(Layout, size=64, byteorder="big"):
    b = U16(1)
    d = U64(8)
    word = U16(34)
    low = Bits(word, bits=(0, 3))
    top = Bits(word, bit=15)


def test_little_endian_integers_have_the_low_byte_first():
    data = Little.build(a=1, b=0x0203, c=0x04050607, d=0x08090A0B0C0D0E0F, e=1 << 120)
    assert data[0:7] == bytes([1, 3, 2, 7, 6, 5, 4])
    assert data[8:16] == bytes(range(0x0F, 0x07, -1))
    assert data[16:32] == bytes(15) + b"\1"


def test_big_endian_integers_have_the_high_byte_first():
    data = Big.build(b=0x0203, d=0x08090A0B0C0D0E0F, low=5, top=1)
    assert data[1:3] == bytes([2, 3])
    assert data[8:16] == bytes(range(8, 16))
    assert data[34:36] == bytes([0x80, 0x05])
    assert (Big.parse(data).low, Big.parse(data).top) == (5, 1)


def test_bits_count_from_the_least_significant_whatever_the_byte_order():
    data = Little.build(low=0xA, mode=State.ON, top=1)
    assert data[34:36] == bytes([0x3A, 0x80])
    value = Little.parse(data)
    assert (value.low, value.mode, value.top, value.word) == (0xA, State.ON, 1, 0x803A)


@pytest.mark.parametrize("names", [("word", "low"), ("low", "word")])
def test_bits_win_over_the_integer_given_beside_them(names):
    values = {"word": 0xFFFF, "low": 2}
    assert Little(**{name: values[name] for name in names}).word == 0xFFF2


def test_enumerations_read_as_members_also_unknown_ones():
    assert Little(state=3).state is State.ON
    unknown = Little(state=9).state
    assert unknown == 9
    assert unknown.name == "unknown(0x9)"


def test_text_is_padded_and_stripped():
    data = Little.build(text="ab", name="xy")
    assert data[44:52] == b"ab      "
    assert data[52:60] == b"xy\0\0\0\0\0\0"
    assert (Little.parse(data).text, Little.parse(data).name) == ("ab", "xy")


def test_text_of_a_hostile_device_cannot_steer_a_terminal():
    data = bytearray(64)
    data[44:52] = b"\x1b[2J\xff\n  "
    assert Little.parse(data).text == "\\x1b[2J\\xff\\x0a"


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"b": 0x10000}, r"Little\.b has 16 bits, the value 65536 "),
        ({"b": -1}, r"Little\.b has 16 bits, the value -1 "),
        ({"b": "1"}, r"Little\.b was given '1'"),
        ({"low": 16}, r"Little\.low has 4 bits \(bits 3:0\)"),
        ({"raw": b"123"}, r"Little\.raw takes 4 bytes, got 3"),
        ({"raw": 5}, r"Little\.raw was given 5"),
        ({"text": "123456789"}, r"Little\.text takes 8 characters, got 9"),
        ({"text": "gr\u00fcn"}, "printable ASCII"),
        ({"text": "a\n"}, "printable ASCII"),
        ({"txet": "a"}, "Did you mean 'text'"),
    ],
)
def test_values_that_do_not_fit_are_refused(members, says):
    with pytest.raises(RegisterError, match=says):
        Little(**members)


def test_members_on_the_class_tell_their_declaration():
    assert (Little.d.offset, Little.d.size, Little.d.where) == (8, 8, "Little.d")
    assert repr(U32) == "U32"
    assert "Little.d at 0x8" in repr(Little.d)


def test_an_enumeration_that_does_not_fit_is_refused():
    class Wide(enum.IntEnum):
        BIG = 256

    with pytest.raises(DeclarationError, match=r"Wide\.BIG = 256 does not fit"):

        class A(Layout, size=4, byteorder="little"):
            a = U8(0, enum=Wide)

    with pytest.raises(DeclarationError, match=r"B\.f has 2 bits"):

        class B(Layout, size=4, byteorder="little"):
            a = U8(0)
            f = Bits(a, bits=(0, 1), enum=Wide)


def test_bits_outside_their_integer_are_refused():
    with pytest.raises(DeclarationError, match="outside the 8 bits of 'a'"):

        class A(Layout, size=4, byteorder="little"):
            a = U8(0)
            f = Bits(a, bit=8)


def test_bits_that_overlap_are_refused():
    with pytest.raises(DeclarationError, match=r"A\.a: 'g' .* overlaps 'f'"):

        class A(Layout, size=4, byteorder="little"):
            a = U8(0)
            f = Bits(a, bits=(0, 3))
            g = Bits(a, bits=(3, 4))


def test_bits_in_an_integer_of_another_structure_are_refused():
    with pytest.raises(DeclarationError, match="no member of A"):

        class A(Layout, size=64, byteorder="little"):
            f = Bits(Little.word, bit=0)


def test_a_wrong_padding_is_refused():
    with pytest.raises(DeclarationError, match="one byte"):
        Ascii(0, 4, pad=b"")
