from __future__ import annotations

import pytest

from pymmio.regs import U16, Ascii, Layout, Register
from tests.unit.regs.fake_space import FakeSpace
from tests.unit.regs.sample import CTRL, Mode, Sample


@pytest.fixture
def space():
    space = FakeSpace()
    space.poke(0, 64, 0x1234_0000_0000_00AB)
    space.poke(0x14, 32, 0x31)
    return space


def test_a_dump_shows_values_fields_and_reasons(space):
    html = Sample(space).dump()._repr_html_()
    for text in ("0x00000031", "mode [6:4]", "a read has side effects", "head[0..3]"):
        assert text in html
    assert html.count("<table") == 1


def test_registers_and_files_are_not_read_to_be_shown(space):
    sample = Sample(space)
    html = sample._repr_html_() + sample.ctrl._repr_html_() + sample.fifo._repr_html_()
    assert space.log == []
    for text in ("Control", "slots[0..2]", "0x0014", "enable", "Not read", "Nothing was read"):
        assert text in html


def test_a_value_shows_its_fields():
    html = CTRL(en=1, mode=Mode.FAST, size=200)._repr_html_()
    for text in ("CTRL = 0x0000c821", "FAST (0x2)", "200 (0xc8)", "enable", "Control"):
        assert text in html
    assert "rsvd" not in html


def test_text_of_a_declaration_is_escaped():
    class EVIL(Register, offset=0, width=8):
        """<script>."""

    assert "<script" not in EVIL()._repr_html_()
    assert "&lt;script&gt;" in EVIL()._repr_html_()


def test_a_structure_shows_its_members():
    class Page(Layout, size=8, byteorder="little"):
        vid = U16(0, doc="vendor")
        sn = Ascii(4, 4)

    html = Page.parse(b"\x36\x1b\0\0<b> ")._repr_html_()
    assert "6966 (0x1b36)" in html
    assert "&lt;b&gt;" in html
    assert "vendor" in html
