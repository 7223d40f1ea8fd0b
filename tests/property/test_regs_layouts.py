"""In-memory structures of any declaration: the same bytes on every host, both ways."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from pymmio.regs import U8, U16, U32, U64, U128, ArrayOf, Ascii, Bits, Bytes, Layout, Nested

INTEGERS = [U8, U16, U32, U64, U128]
ORDERS = st.sampled_from(["little", "big"])
ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


class Inner(Layout, size=3, byteorder="big"):
    a = U8(0)
    b = U16(1)


def by_hand(number, size, byteorder):
    """The bytes of a number, made with divisions only."""
    low_first = [number // 256**place % 256 for place in range(size)]
    return bytes(low_first if byteorder == "little" else reversed(low_first))


@st.composite
def layouts(draw):
    """A structure, values for all of its members, and the bytes that they must give."""
    byteorder = draw(ORDERS)
    members, values, data = {}, {}, bytearray()
    for number in range(draw(st.integers(1, 6))):
        name = f"m{number}"
        data += bytes(draw(st.integers(0, 3)))  # a gap that no member names
        offset = len(data)
        kind = draw(st.sampled_from(["int", "bytes", "text", "nested", "array"]))
        if kind == "int":
            integer = draw(st.sampled_from(INTEGERS))
            values[name] = draw(st.integers(0, 256**integer.size - 1))
            members[name] = integer(offset)
            data += by_hand(values[name], integer.size, byteorder)
        elif kind == "bytes":
            values[name] = draw(st.binary(min_size=1, max_size=9))
            members[name] = Bytes(offset, len(values[name]))
            data += values[name]
        elif kind == "text":
            size = draw(st.integers(1, 12))
            values[name] = draw(st.text(ASCII, max_size=size)).rstrip(" ")
            members[name] = Ascii(offset, size)
            data += values[name].encode() + b" " * (size - len(values[name]))
        elif kind == "nested":
            values[name] = Inner(a=draw(st.integers(0, 255)), b=draw(st.integers(0, 65535)))
            members[name] = Nested(Inner, offset)
            data += bytes([values[name].a]) + by_hand(values[name].b, 2, "big")
        else:
            integer = draw(st.sampled_from(INTEGERS))
            items = draw(st.lists(st.integers(0, 256**integer.size - 1), min_size=1, max_size=4))
            values[name] = tuple(items)
            members[name] = ArrayOf(integer, offset, count=len(items))
            data += b"".join(by_hand(item, integer.size, byteorder) for item in items)
    data += bytes(draw(st.integers(0, 3)))
    cls = type(Layout)("Any", (Layout,), members, size=len(data), byteorder=byteorder)
    return cls, values, bytes(data)


@given(layouts())
def test_structures_pack_to_the_bytes_of_their_byte_order_and_back(case):
    cls, values, data = case
    assert cls.build(**values) == data
    assert cls.parse(data).fields() == values
    assert cls.parse(data) == cls(**values)


@given(layouts(), st.data())
def test_setting_a_member_of_a_view_changes_only_its_bytes(case, data):
    cls, values, _ = case
    start = data.draw(st.binary(min_size=cls.spec.size, max_size=cls.spec.size))
    name = data.draw(st.sampled_from(sorted(values)))
    buffer = bytearray(start)
    setattr(cls.view(buffer), name, values[name])
    member = cls.spec.members[name]
    end = member.offset + member.size
    assert buffer[: member.offset] == start[: member.offset]
    assert buffer[end:] == start[end:]
    assert getattr(cls.parse(buffer), name) == values[name]


@given(layouts(), st.data())
def test_any_bytes_can_be_parsed_shown_and_dumped(case, data):
    cls, _, _ = case
    raw = data.draw(st.binary(min_size=cls.spec.size, max_size=cls.spec.size))
    value = cls.parse(raw)
    assert value.pack() == raw
    assert cls.__name__ in repr(value)
    assert value.dump().text().isprintable() or "\n" in value.dump().text()
    assert value.dump().json()


@given(ORDERS, st.sampled_from(INTEGERS[:4]), st.data())
def test_bits_keep_their_neighbours(byteorder, integer, data):
    width = 8 * integer.size
    low, high = sorted((data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, width - 1))))
    word = integer(0)
    cls = type(Layout)(
        "Any",
        (Layout,),
        {"word": word, "part": Bits(word, bits=(low, high))},
        size=integer.size,
        byteorder=byteorder,
    )
    start = data.draw(st.integers(0, (1 << width) - 1))
    part = data.draw(st.integers(0, (1 << (high - low + 1)) - 1))
    buffer = bytearray(by_hand(start, integer.size, byteorder))
    cls.view(buffer).part = part
    mask = ((1 << (high - low + 1)) - 1) << low
    assert bytes(buffer) == by_hand(start & ~mask | part << low, integer.size, byteorder)


def test_the_bytes_do_not_depend_on_what_python_says_of_the_host():
    code = """
import sys
sys.byteorder = sys.argv[1]
from pymmio.regs import U16, U32, Bits, Layout
class L(Layout, size=6, byteorder="little"):
    a = U16(0); b = U32(2); c = Bits(b, bits=(28, 31))
class B(Layout, size=2, byteorder="big"):
    a = U16(0)
print(L.build(a=0x0102, b=0x03040506, c=0xF).hex(), B.build(a=0x0102).hex())
"""
    for host in ("little", "big"):
        done = subprocess.run(
            [sys.executable, "-c", code, host], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.split() == ["0201060504f3", "0102"], done.stderr
