from __future__ import annotations

import pytest

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs import U8, U16, U32, ArrayOf, Bits, Layout, Nested


class Format(Layout, size=4, byteorder="little"):
    ms = U16(0)
    lbads = U8(2)
    rest = U8(3)
    rp = Bits(rest, bits=(0, 1))


class Header(Layout, size=4, byteorder="big"):
    length = U16(0)


class Page(Layout, size=64, byteorder="little"):
    header = Nested(Header, 0)
    words = ArrayOf(U32, 4, count=3)
    formats = ArrayOf(Format, 16, count=5)


class BigPage(Layout, size=16, byteorder="big"):
    words = ArrayOf(U32, 0, count=2)
    inner = Nested(Format, 8)


def test_a_nested_structure_keeps_its_own_byte_order():
    data = Page.build(header=Header(length=0x0102))
    assert data[:4] == b"\1\2\0\0"
    assert Page.parse(data).header.length == 0x0102
    assert BigPage.build(inner=Format(ms=1))[8:10] == b"\1\0"


def test_integers_of_an_array_have_the_byte_order_of_the_structure():
    assert Page.build(words=(1, 2, 3))[4:16] == b"\1\0\0\0\2\0\0\0\3\0\0\0"
    assert BigPage.build(words=(1, 2))[:8] == b"\0\0\0\1\0\0\0\2"
    assert BigPage(words=[1, 2]).words == (1, 2)


def test_structures_of_an_array_are_values():
    page = Page(formats=[Format(lbads=9 + i) for i in range(5)])
    assert [f.lbads for f in page.formats] == [9, 10, 11, 12, 13]
    assert Page.parse(page.pack()) == page
    with pytest.raises(RegisterError, match="frozen"):
        page.formats[0].lbads = 1


def test_nested_structures_of_a_view_are_views():
    buffer = bytearray(64)
    page = Page.view(buffer)
    page.formats[2].rp = 3
    page.header.length = 5
    page.words = (7, 8, 9)
    assert buffer[27] == 3
    assert buffer[:2] == b"\0\5"
    assert page.words == (7, 8, 9)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"words": (1, 2)}, r"Page\.words takes 3 elements, got 2 elements"),
        ({"words": 5}, r"Page\.words takes 3 elements, got 5"),
        ({"words": (1, 2, 1 << 32)}, r"Page\.words\[\] has 32 bits"),
        ({"header": Format()}, r"Page\.header was given Format.* Give a Header"),
        ({"formats": [1, 2, 3, 4, 5]}, r"Page\.formats\[\] was given 1"),
    ],
)
def test_values_that_do_not_fit_are_refused(members, says):
    with pytest.raises(RegisterError, match=says):
        Page(**members)


def test_an_array_without_elements_is_refused():
    with pytest.raises(DeclarationError, match="count=0"):
        ArrayOf(U32, 0, count=0)


def test_an_array_that_does_not_fit_or_overlaps_is_refused():
    with pytest.raises(DeclarationError, match="lie outside"):

        class A(Layout, size=64, byteorder="little"):
            words = ArrayOf(U32, 4, count=16)

    with pytest.raises(DeclarationError, match="overlaps"):

        class B(Layout, size=64, byteorder="little"):
            words = ArrayOf(U32, 4, count=2)
            inner = Nested(Format, 8)


def test_arrays_in_repr_and_plain_data():
    assert "formats=<5 elements>" in repr(Page())
    assert "words=(0, 0, 0)" in repr(Page())
    plain = Page(words=(1, 2, 3)).as_dict()
    assert plain["words"] == [1, 2, 3]
    assert plain["header"] == {"length": 0}
    assert plain["formats"][3] == {"ms": 0, "lbads": 0, "rest": 0, "rp": 0}
