from __future__ import annotations

import copy
import pickle

import pytest

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs import RESERVED, RO, RW, W1C, WO, Field, Register
from tests.unit.regs.sample import CTRL, ID, MIXED, STATUS, Mode


def test_a_value_has_zero_in_fields_that_are_not_named():
    assert int(CTRL(en=1)) == 1
    assert int(CTRL(mode=Mode.SLOW, size=0x80)) == 0x8070


def test_a_value_starts_from_a_number_if_there_is_one():
    assert int(CTRL(0x0000_FF01, size=2)) == 0x201


def test_values_act_as_numbers():
    value = CTRL(0x71)
    assert hex(value) == "0x71"
    assert f"{value:#010x}" == "0x00000071"
    assert value == 0x71
    assert value == CTRL(0x71)
    assert value != STATUS(0x71)
    assert value != "0x71"
    assert hash(value) == hash(CTRL(0x71))
    assert bool(CTRL(0)) is False
    assert bool(value) is True


def test_repr_shows_number_and_fields_but_not_reserved_ones():
    assert repr(CTRL(0x3_0021)) == "CTRL(0x00030021, en=1, mode=FAST, size=0, ready=0)"
    assert f"{CTRL(1)}" == str(CTRL(1)) == repr(CTRL(1))


def test_fields_gives_all_values_by_name():
    assert CTRL(0x121).fields() == {"en": 1, "mode": Mode.FAST, "size": 1, "ready": 0}


def test_replace_gives_a_copy():
    before = CTRL(0x201)
    after = before.replace(size=3)
    assert (int(before), int(after)) == (0x201, 0x301)
    assert type(after) is CTRL


def test_values_are_immutable():
    value = CTRL(1)
    with pytest.raises(AttributeError, match="replace"):
        value.en = 0
    with pytest.raises(AttributeError, match="immutable"):
        value.other = 0
    with pytest.raises(AttributeError, match="immutable"):
        del value.en
    assert int(value) == 1


@pytest.mark.parametrize("number", [-1, 1 << 32])
def test_a_number_that_does_not_fit_the_register_is_refused(number):
    with pytest.raises(RegisterError, match="32 bits"):
        CTRL(number)


def test_an_unknown_field_is_refused_with_the_known_ones():
    with pytest.raises(RegisterError, match=r"no field 'siez'.*Did you mean 'size'.*en, mode") as e:
        CTRL(siez=1)
    assert "ready" in str(e.value)


def test_a_reserved_field_cannot_be_given():
    with pytest.raises(RegisterError, match=r"rsvd.*is reserved"):
        CTRL(rsvd=1)


def test_reset_value_comes_from_fields_or_from_the_register():
    assert CTRL.reset_value() == CTRL(mode=2)
    assert ID.reset_value() == 0x1234_0000_0000_00AB


def test_values_can_be_copied_and_pickled():
    value = CTRL(0x71)
    assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value


def test_neutral_keeps_what_can_be_written_back_and_clears_the_rest():
    # bits 10..15 are declared by no field, 8 and 9 as RESERVED
    assert STATUS(0xFFFF_FFFF).neutral() == 0x0000_03F1
    assert CTRL(0xFFFF_FFFF).neutral() == 0xFFFF_FFFF


def test_neutral_refuses_write_only_fields():
    with pytest.raises(RegisterError, match="write-only bits"):
        MIXED(0).neutral()


def test_the_declaration_is_public():
    spec = STATUS.spec
    assert (spec.name, spec.offset, spec.width, spec.size_bytes) == ("STATUS", 0x1C, 32, 4)
    assert spec.doc == "Status"
    assert list(spec.fields) == ["rdy", "mask", "keep", "err", "warn", "kick"]
    assert spec.mask(W1C) == 0x7_0000
    assert spec.mask(RW, RESERVED) == 0x3F0
    assert spec.readable
    assert spec.writable


def test_a_register_without_fields_has_the_access_of_its_class():
    class BELL(Register, offset=0, width=16, access=WO):
        pass

    assert not BELL.spec.readable
    assert BELL.spec.writable
    assert BELL.spec.mask(WO) == 0xFFFF
    assert BELL.spec.mask(RW) == 0


def test_a_register_with_only_read_only_fields_is_not_writable():
    class REG(Register, offset=0, width=16):
        f = Field(bit=0, access=RO)

    assert not REG.spec.writable


def test_a_subclass_inherits_and_may_say_more():
    class CTRL2(CTRL, offset=0x40):
        extra = Field(bit=20)

    assert (CTRL2.spec.offset, CTRL2.spec.width) == (0x40, 32)
    assert int(CTRL2(en=1, extra=1)) == 0x10_0001
    assert "extra" not in CTRL.spec.fields
    assert CTRL2(1) != CTRL(1)


def test_a_subclass_with_another_access_changes_fields_that_did_not_say_theirs():
    class BASE(Register, offset=0, width=8):
        a = Field(bit=0)
        b = Field(bit=1, access=RO)

    class VIEW(BASE, access=RO):
        pass

    assert (BASE.a.access, VIEW.a.access, VIEW.b.access) == (RW, RO, RO)


def test_a_subclass_keeps_gone_and_side_effects():
    class BASE(Register, offset=0, width=8, read_side_effects=True, all_ones_means_gone=True):
        pass

    class SAME(BASE, offset=4):
        pass

    assert SAME.spec.read_side_effects is True
    assert SAME.spec.all_ones_means_gone is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"offset": 0}, "no width"),
        ({"offset": 0, "width": 24}, "width=24"),
        ({"offset": 2, "width": 32}, "offset 0x2 is not aligned"),
        ({"offset": 4, "width": 64}, "offset 0x4 is not aligned"),
        ({"offset": -4, "width": 32}, "offset -4 is negative"),
        ({"offset": 0, "width": 8, "reset": 256}, "reset value 0x100 does not fit 8 bits"),
        ({"offset": 0, "width": 8, "reset": -1}, "does not fit 8 bits"),
        ({"offset": 0, "width": 8, "access": RESERVED}, "access=RESERVED"),
    ],
)
def test_a_wrong_register_is_refused(arguments, says):
    with pytest.raises(DeclarationError, match=says):

        class REG(Register, **arguments):
            pass


def test_reset_said_twice_and_differently_is_refused():
    with pytest.raises(DeclarationError, match="reset value 1, but reset= of the register says 0"):

        class REG(Register, offset=0, width=8, reset=0x10):
            f = Field(bit=0, reset=1)


def test_a_read_only_register_cannot_have_a_writable_field():
    with pytest.raises(DeclarationError, match="REG is RO, its field 'f' is RW"):

        class REG(Register, offset=0, width=8, access=RO):
            f = Field(bit=0, access=RW)


@pytest.mark.parametrize("name", ["spec", "replace", "order", "timeout_s", "_raw"])
def test_a_field_name_that_is_taken_is_refused(name):
    with pytest.raises(DeclarationError, match="taken"):
        type(Register)("REG", (Register,), {name: Field(bit=0)}, offset=0, width=8)


def test_hiding_an_inherited_field_is_refused():
    class A(Register, offset=0, width=8):
        f = Field(bit=0)

    with pytest.raises(DeclarationError, match=r"B\.f hides"):

        class B(A):
            f = 3
