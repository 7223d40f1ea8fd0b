from __future__ import annotations

import copy
import pickle

import pytest

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs import U8, U16, U32, Ascii, Bits, Bytes, Layout


class Entry(Layout, size=16, byteorder="little"):
    opcode = U8(0, doc="what to do")
    flags = U8(1)
    fused = Bits(flags, bits=(0, 1), doc="fused operation")
    cid = U16(2)
    nsid = U32(4)
    tag = Bytes(8, 4)


def test_a_value_is_zero_where_nothing_was_given():
    assert Entry.build(cid=0x1234) == b"\0\0\x34\x12" + bytes(12)
    assert Entry().pack() == bytes(16)


def test_parse_copies_and_ignores_what_follows():
    buffer = bytearray(range(20))
    value = Entry.parse(buffer)
    buffer[0] = 99
    assert (value.opcode, value.cid, value.nsid) == (0, 0x0302, 0x07060504)
    assert value.pack() == bytes(range(16))


def test_parse_and_view_take_an_offset():
    buffer = bytearray(range(32))
    assert Entry.parse(buffer, 16).opcode == 16
    Entry.view(buffer, 16).opcode = 5
    assert buffer[16] == 5


def test_parse_takes_items_of_any_width_as_bytes():
    words = memoryview(bytearray(16)).cast("I")
    Entry.view(words).opcode = 7
    assert Entry.parse(words).opcode == 7


@pytest.mark.parametrize(("size", "offset"), [(15, 0), (0, 0), (16, 1), (16, -1), (32, 17)])
def test_a_buffer_that_is_too_short_is_refused(size, offset):
    for take in (Entry.parse, Entry.view):
        with pytest.raises(RegisterError, match=r"Entry takes 16 bytes"):
            take(bytearray(size), offset)


def test_values_are_frozen():
    value = Entry.parse(bytes(16))
    with pytest.raises(RegisterError, match=r"Entry\.cid cannot be set: the value is frozen"):
        value.cid = 1
    with pytest.raises(RegisterError, match=r"no field 'dic'.*, cid,"):
        value.dic = 1
    assert value.pack() == bytes(16)


def test_replace_gives_a_copy_and_keeps_undeclared_bytes():
    before = Entry.parse(bytes(range(16)))
    after = before.replace(cid=0xFFFF)
    assert before.cid == 0x0302
    assert after.pack() == bytes([0, 1, 255, 255, *range(4, 16)])


def test_a_view_writes_only_the_bytes_of_the_member():
    buffer = bytearray(b"\xaa" * 16)
    view = Entry.view(buffer)
    view.cid = 1
    view.fused = 3
    assert buffer == b"\xaa\xab\x01\x00" + b"\xaa" * 12
    buffer[0] = 4
    assert view.opcode == 4


def test_a_view_takes_several_members_in_order():
    buffer = bytearray(16)
    Entry.view(buffer).set(flags=0xFF, fused=1, cid=2)
    assert buffer[:4] == b"\0\xfd\2\0"


def test_a_refused_value_leaves_the_buffer_as_it_is():
    buffer = bytearray(16)
    with pytest.raises(RegisterError):
        Entry.view(buffer).cid = 1 << 16
    assert buffer == bytes(16)


def test_a_view_of_a_read_only_buffer_reads_and_refuses_to_write():
    view = Entry.view(memoryview(bytearray(16)).toreadonly())
    assert view.cid == 0
    with pytest.raises(RegisterError, match="the buffer is read-only"):
        view.cid = 1


def test_a_view_keeps_its_buffer_exported():
    buffer = bytearray(16)
    view = Entry.view(buffer)
    with pytest.raises(BufferError):
        buffer.append(0)
    del view
    buffer.append(0)


def test_values_with_the_same_bytes_are_equal():
    assert Entry(cid=1) == Entry.parse(Entry.build(cid=1))
    assert Entry(cid=1) == Entry.view(bytearray(Entry.build(cid=1)))
    assert Entry(cid=1) != Entry(cid=2)
    assert Entry() != bytes(16)
    assert len({Entry(cid=1), Entry(cid=1)}) == 1


def test_a_view_has_no_hash():
    with pytest.raises(TypeError, match="no hash"):
        hash(Entry.view(bytearray(16)))


def test_values_can_be_copied_and_pickled():
    value = Entry(cid=7)
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    frozen = copy.copy(Entry.view(bytearray(16)))
    with pytest.raises(RegisterError, match="frozen"):
        frozen.cid = 1


def test_repr_shows_members():
    assert repr(Entry(cid=1)) == (
        "Entry(opcode=0, flags=0, fused=0, cid=1, nsid=0, tag=b'\\x00\\x00\\x00\\x00')"
    )
    assert repr(Entry.view(bytearray(16))).startswith("Entry.view(")


def test_repr_shortens_what_is_long():
    class Page(Layout, size=64, byteorder="little"):
        data = Bytes(0, 32)
        rest = Bytes(32, 32)

    assert repr(Page(data=b"\1" * 32)) == "Page(data=<32 bytes>, rest=<32 zero bytes>)"


def test_the_declaration_is_public():
    assert (Entry.spec.name, Entry.spec.size, Entry.spec.byteorder) == ("Entry", 16, "little")
    assert list(Entry.spec.members) == ["opcode", "flags", "fused", "cid", "nsid", "tag"]


def test_as_dict_is_plain_data():
    assert Entry(cid=1, tag=b"\1\2\3\4").as_dict() == {
        "opcode": 0,
        "flags": 0,
        "fused": 0,
        "cid": 1,
        "nsid": 0,
        "tag": "01020304",
    }


def test_a_subclass_inherits_members_size_and_byte_order():
    class Write(Entry):
        count = U16(12)
        kind = Bits(Entry.flags, bits=(6, 7))

    assert Write.build(cid=1, count=2, kind=3) == b"\0\xc0\1\0" + bytes(8) + b"\2\0\0\0"
    assert "count" not in Entry.spec.members
    assert Entry.cid.where == "Entry.cid"
    with pytest.raises(DeclarationError, match="overlaps 'fused'"):

        class Bad(Entry):
            kind = Bits(Entry.flags, bits=(1, 2))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"byteorder": "little"}, "size=None"),
        ({"size": 0, "byteorder": "little"}, "size=0"),
        ({"size": 4}, "byteorder=None"),
        ({"size": 4, "byteorder": "native"}, "byteorder='native'"),
    ],
)
def test_a_structure_without_size_or_byte_order_is_refused(arguments, says):
    with pytest.raises(DeclarationError, match=says):

        class A(Layout, **arguments):
            pass


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"a": U16(3)}, r"A\.a: bytes 3 to 4 lie outside the 4 bytes"),
        ({"a": U16(0), "b": U8(1)}, r"'b' \(bytes 1 to 1\) overlaps 'a' \(bytes 0 to 1\)"),
        ({"a": Ascii(0, 4), "b": U16(2)}, "'b' .* overlaps 'a'"),
        ({"a": U8(-1)}, "offset -1"),
        ({"a": Bytes(0, 0)}, "size 0"),
        ({"pack": U8(0)}, "taken"),
        ({"spec": U8(0)}, "taken"),
    ],
)
def test_wrong_members_are_refused(members, says):
    with pytest.raises(DeclarationError, match=says):
        type(Layout)("A", (Layout,), members, size=4, byteorder="little")


def test_a_subclass_cannot_change_the_byte_order_or_hide_a_member():
    with pytest.raises(DeclarationError, match="keeps the byte order"):

        class A(Entry, byteorder="big"):
            pass

    with pytest.raises(DeclarationError, match=r"B\.cid hides"):

        class B(Entry):
            cid = 3
