from __future__ import annotations

import enum
import pickle

import pytest

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs import RO, RW, Field, Register
from tests.unit.regs.sample import CTRL, ID, Mode


def test_a_field_takes_its_bits_out_of_the_value():
    assert ID(0xBEEF_1111_2222_CAFE).low == 0xCAFE
    assert ID(0xBEEF_1111_2222_CAFE).high == 0xBEEF


def test_a_field_on_the_class_tells_its_declaration():
    assert (CTRL.mode.name, CTRL.mode.mask, CTRL.mode.width) == ("mode", 0x70, 3)
    assert (CTRL.en.access, CTRL.ready.access) == (RW, RO)
    assert str(CTRL.mode.bits) == "bits 6:4"
    assert "mode" in repr(CTRL.mode)


def test_a_field_with_an_enumeration_reads_as_its_member():
    assert CTRL(0x20).mode is Mode.FAST


def test_an_unknown_enumeration_value_is_kept_and_equals_no_member():
    value = CTRL(0x50).mode
    assert value == 5
    assert isinstance(value, Mode)
    assert value.name == "unknown(0x5)"
    assert all(value != member for member in Mode)
    assert "unknown(0x5)" in repr(CTRL(0x50))


def test_an_intflag_reads_as_combination_also_with_unknown_bits():
    class Caps(enum.IntFlag):
        A = 1
        B = 2

    class REG(Register, offset=0, width=8):
        caps = Field(bits=(0, 3), enum=Caps)

    assert REG(3).caps == Caps.A | Caps.B
    assert Caps.A in REG(9).caps
    assert REG(9).caps == 9


def test_an_enumeration_may_translate_unknown_values_itself():
    class Kind(enum.IntEnum):
        A = 0
        OTHER = 3

        @classmethod
        def _missing_(cls, value):
            return cls.OTHER

    class REG(Register, offset=0, width=8):
        kind = Field(bits=(0, 1), enum=Kind)

    assert REG(2).kind is Kind.OTHER


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "exactly one"),
        ({"bit": 1, "bits": (1, 2)}, "exactly one"),
        ({"bit": -1}, "inclusive"),
        ({"bits": (7, 4)}, "inclusive"),
    ],
)
def test_a_field_without_sensible_bits_is_refused(arguments, says):
    with pytest.raises(DeclarationError, match=says):
        Field(**arguments)


def test_a_member_that_does_not_fit_its_bits_is_refused():
    with pytest.raises(DeclarationError, match=r"REG\.mode has 2 bits, Mode\.SLOW = 7"):

        class REG(Register, offset=0, width=8):
            mode = Field(bits=(0, 1), enum=Mode)


def test_an_enumeration_of_another_kind_is_refused():
    class Colour(enum.Enum):
        RED = 1

    with pytest.raises(DeclarationError, match="IntEnum"):

        class REG(Register, offset=0, width=8):
            colour = Field(bits=(0, 1), enum=Colour)


def test_a_reset_value_that_does_not_fit_is_refused():
    with pytest.raises(DeclarationError, match=r"REG\.f: reset value 4 does not fit"):

        class REG(Register, offset=0, width=8):
            f = Field(bits=(0, 1), reset=4)


def test_bits_outside_the_register_are_refused():
    with pytest.raises(DeclarationError, match="outside the 8 bits"):

        class REG(Register, offset=0, width=8):
            f = Field(bits=(4, 8))


def test_overlapping_fields_are_refused_and_both_named():
    with pytest.raises(DeclarationError, match=r"'b' \(bits 3 to 5\) overlaps 'a' \(bits 0 to 3\)"):

        class REG(Register, offset=0, width=8):
            a = Field(bits=(0, 3))
            b = Field(bits=(3, 5))


def test_a_value_too_large_is_refused_with_field_value_and_bits():
    with pytest.raises(RegisterError, match=r"CTRL\.mode has 3 bits \(bits 6:4\), the value 8 "):
        CTRL(mode=8)
    with pytest.raises(RegisterError, match=r"CTRL\.en has 1 bit \(bit 0\), the value -1 "):
        CTRL(en=-1)


def test_a_value_that_is_no_integer_is_refused():
    with pytest.raises(RegisterError, match=r"CTRL\.size was given 1\.5"):
        CTRL(size=1.5)


def test_one_field_object_may_serve_two_registers():
    shared = Field(bit=2)

    class A(Register, offset=0, width=8):
        x = shared

    class B(Register, offset=0, width=8, access=RO):
        y = shared

    assert (A.x.name, B.y.name) == ("x", "y")
    assert (A.x.access, B.y.access) == (RW, RO)
    assert A(4).x == B(4).y == 1


def test_a_value_with_an_unknown_member_can_be_pickled():
    assert pickle.loads(pickle.dumps(CTRL(0x50))).mode == 5
