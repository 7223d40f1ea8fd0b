from __future__ import annotations

import pytest

from pymmio.errors import DeclarationError, OutOfBounds, RegisterError
from pymmio.regs import WO, BoundRegister, Field, Reg, RegArray, Register, RegisterFile
from tests.unit.regs.fake_space import FakeSpace
from tests.unit.regs.sample import BELL, CTRL, ID, SLOT, Sample


class WORD(Register, width=32):
    f = Field(bit=0)


def declare(**registers):
    return type("File", (RegisterFile,), registers)


def test_making_a_file_touches_nothing():
    space = FakeSpace()
    regs = Sample(space)
    assert regs.region is space
    assert isinstance(regs.ctrl, BoundRegister)
    assert space.log == []


def test_a_register_is_bound_once():
    regs = Sample(FakeSpace())
    assert regs.ctrl is regs.ctrl
    assert regs.tail[2] is regs.tail[2]
    assert regs.ctrl is not Sample(FakeSpace()).ctrl


def test_the_class_gives_the_declaration():
    assert Sample.ctrl.register is CTRL
    assert Sample.tail.stride == 8
    place = Sample.places["head"]
    assert (place.offset, place.count, place.stride, place.is_array) == (0x1004, 4, 8, True)
    assert place.spec is BELL.spec
    assert list(Sample.places)[:2] == ["id", "ctrl"]


def test_an_array_has_a_length_and_elements_in_order():
    space = FakeSpace()
    regs = Sample(space)
    assert len(regs.slots) == 3
    assert [slot.offset for slot in regs.slots] == [0x80, 0x84, 0x88]
    regs.head[3].write(9)
    assert space.log == [("write", 32, 0x101C, 9)]


@pytest.mark.parametrize("index", [4, -1])
def test_an_index_outside_an_array_is_out_of_bounds(index):
    with pytest.raises(OutOfBounds, match=r"there are 4 registers. Give an index of 0 to 3"):
        Sample(FakeSpace()).tail[index]


def test_a_register_can_be_bound_at_a_place_known_at_run_time():
    space = FakeSpace()
    regs = Sample(space)
    regs.bind(WORD, offset=0x100).write(f=1)
    bells = regs.bind_array(BELL, count=2, stride=16, name="bell")
    bells[1].write(7)
    assert space.log == [("write", 32, 0x100, 1), ("write", 32, 0x1010, 7)]
    assert bells[1].name == "bell[1]"


@pytest.mark.parametrize(("offset", "says"), [(None, "no offset"), (2, "not aligned")])
def test_binding_at_a_wrong_place_is_refused(offset, says):
    with pytest.raises(DeclarationError, match=says):
        Sample(FakeSpace()).bind(WORD, offset=offset)


@pytest.mark.parametrize(("count", "stride"), [(0, 4), (1, 2), (2, 6), (2, 0)])
def test_a_wrong_array_is_refused(count, stride):
    with pytest.raises(DeclarationError, match=r"count=|stride="):
        declare(words=RegArray(WORD, offset=0, count=count, stride=stride))
    with pytest.raises(DeclarationError, match=r"count=|stride="):
        Sample(FakeSpace()).bind_array(WORD, offset=0, count=count, stride=stride)


@pytest.mark.parametrize(
    "registers",
    [
        {"a": Reg(ID), "b": Reg(WORD, offset=4)},
        {"a": Reg(WORD, offset=4), "b": Reg(WORD, offset=4)},
        {"a": Reg(SLOT, offset=6), "b": Reg(WORD, offset=4)},
        {"a": RegArray(WORD, offset=0, count=4, stride=8), "b": Reg(SLOT, offset=18)},
        {
            "a": RegArray(WORD, offset=0, count=100, stride=12),
            "b": RegArray(WORD, offset=4, count=3, stride=16),
        },
        {
            "a": RegArray(WORD, offset=0x20, count=4, stride=8),
            "b": RegArray(WORD, offset=0x20, count=2, stride=8),
        },
    ],
)
def test_registers_that_overlap_are_refused(registers):
    for order in (registers, dict(reversed(registers.items()))):
        with pytest.raises(DeclarationError, match=r"a.* b.*overlap|b.* a.*overlap"):
            declare(**order)


@pytest.mark.parametrize(
    "registers",
    [
        {"a": Reg(ID), "b": Reg(WORD, offset=8)},
        {
            "a": RegArray(WORD, offset=0, count=4, stride=8),
            "b": RegArray(WORD, offset=4, count=4, stride=8),
        },
        {"a": RegArray(WORD, offset=0, count=4, stride=8), "b": Reg(WORD, offset=0x1C)},
        {"a": RegArray(WORD, offset=0, count=4, stride=8), "b": Reg(WORD, offset=0x20)},
    ],
)
def test_registers_side_by_side_are_accepted(registers):
    assert len(declare(**registers).places) == 2


def test_a_large_array_is_checked_at_once():
    many = RegArray(WORD, offset=0, count=1 << 40, stride=8)
    declare(a=many, b=Reg(WORD, offset=(1 << 42) + 4))
    with pytest.raises(DeclarationError, match="overlap"):
        declare(a=many, b=Reg(WORD, offset=1 << 42))


def test_a_register_without_a_place_is_refused():
    with pytest.raises(DeclarationError, match=r"File\.word: WORD has no offset"):
        declare(word=Reg(WORD))


def test_something_that_is_no_register_is_refused():
    with pytest.raises(DeclarationError, match="no Register class"):
        declare(word=Reg(int))


@pytest.mark.parametrize("name", ["dump", "bind", "places", "region"])
def test_a_name_that_is_taken_is_refused(name):
    with pytest.raises(DeclarationError, match="taken"):
        declare(**{name: Reg(CTRL)})


def test_a_subclass_adds_and_replaces_registers():
    class More(Sample):
        extra = Reg(WORD, offset=0x200)
        ctrl = Reg(CTRL, offset=0x300)

    assert More.places["ctrl"].offset == 0x300
    assert Sample.places["ctrl"].offset == 0x14
    assert More(FakeSpace()).ctrl.offset == 0x300
    assert "extra" in More.places
    assert "id" in More.places


def test_a_subclass_cannot_overlap_what_it_inherits():
    with pytest.raises(DeclarationError, match="overlap"):

        class More(Sample):
            extra = Reg(WORD, offset=0x14)


def test_hiding_an_inherited_register_is_refused():
    with pytest.raises(DeclarationError, match=r"More\.ctrl hides"):

        class More(Sample):
            ctrl = 3


def test_assigning_to_a_register_is_refused():
    regs = Sample(FakeSpace())
    with pytest.raises(RegisterError, match=r"ctrl\.write"):
        regs.ctrl = 1
    regs.note = "other attributes are free"


def test_two_arrays_of_write_only_doorbells_interleave():
    class DBL(Register, offset=0x1000, width=32, access=WO):
        pass

    class File(RegisterFile):
        sq = RegArray(DBL, count=64, stride=8)
        cq = RegArray(DBL, count=64, stride=8, offset=0x1004)

    assert File(FakeSpace()).cq[63].offset == 0x11FC
