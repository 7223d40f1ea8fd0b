from __future__ import annotations

import enum
import io
import json

from pymmio.regs import U8, U16, ArrayOf, Ascii, Bits, Bytes, Layout, Nested


class Kind(enum.IntEnum):
    DISK = 2


class Inner(Layout, size=2, byteorder="little"):
    x = U8(0)
    y = U8(1)


class Page(Layout, size=64, byteorder="little"):
    vid = U16(0, doc="vendor")
    kind = U8(2, enum=Kind)
    caps = U8(3)
    flush = Bits(caps, bit=1, doc="can flush")
    serial = Ascii(4, 8)
    guid = Bytes(12, 4)
    inner = Nested(Inner, 16)
    pairs = ArrayOf(Inner, 18, count=4)
    words = ArrayOf(U16, 26, count=3)


VALUE = Page(
    vid=0x1B36,
    kind=2,
    flush=1,
    serial="[b]S1",
    guid=b"\1\2\3\4",
    inner=Inner(x=1),
    pairs=[Inner(), Inner(y=3), Inner(), Inner()],
)


def test_text_shows_all_members_with_their_byte():
    assert VALUE.dump().text().splitlines() == [
        "Page",
        "    0  vid          6966 (0x1b36)  vendor",
        "    2  kind         DISK (0x2)",
        "    3  caps         2",
        "    3  flush        1              [1] can flush",
        "    4  serial       [b]S1",
        "   12  guid         01020304",
        "   16  inner.x      1",
        "   17  inner.y      0",
        "   18  pairs[0].x   0",
        "   19  pairs[0].y   0",
        "   20  pairs[1].x   0",
        "   21  pairs[1].y   3",
        "   22  pairs[2..3]  all zero",
        "   26  words[0..2]  all zero",
    ]
    assert str(VALUE.dump()) == VALUE.dump().text()


def test_the_last_element_alone_is_named_by_its_index():
    names = [m.name for m in Page(words=(1, 0, 0)).dump().members]
    assert names[-2:] == ["words[0]", "words[1..2]"]
    names = [m.name for m in Page(words=(0, 1, 0)).dump().members]
    assert names[-2:] == ["words[1]", "words[2]"]


def test_json_holds_all_values():
    data = json.loads(VALUE.dump().json())
    assert data["vid"] == 0x1B36
    assert data["kind"] == 2
    assert data["guid"] == "01020304"
    assert data["pairs"][1] == {"x": 0, "y": 3}
    assert data["words"] == [0, 0, 0]
    assert data == VALUE.as_dict() == VALUE.dump().as_dict()


def test_zero_bytes_are_counted():
    guid = next(m for m in Page().dump().members if m.name == "guid")
    assert guid.text == "4 zero bytes"


def test_rich_shows_a_table_and_takes_nothing_for_markup():
    from rich.console import Console

    console = Console(width=100, file=io.StringIO())
    console.print(VALUE.dump())
    assert "[b]S1" in console.file.getvalue()


def test_a_dump_of_a_view_does_not_change_with_the_buffer():
    buffer = bytearray(VALUE.pack())
    dump = Page.view(buffer).dump()
    buffer[0] = 0
    assert dump.as_dict()["vid"] == 0x1B36
