from __future__ import annotations

import xml.etree.ElementTree as ET

from pymmio.notebook import Row, html_note, html_table


def test_everything_is_escaped():
    evil = '<script>alert("1")</script>&'
    html = html_table(evil, (evil, "b"), [(evil, evil)]) + html_note(evil)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 5


def test_it_is_well_formed():
    html = html_table("t", ("a", "b"), [("1", "2"), Row(("", "x"), is_detail=True)], mono=("a",))
    table = ET.fromstring(html)
    assert [cell.text for cell in table.iter("th")] == ["a", "b"]
    assert [cell.text or "" for cell in table.iter("td")] == ["1", "2", "", "x"]


def test_no_colours_of_its_own():
    html = html_table("t", ("a", "b"), [Row(("1", "2"), is_detail=True)], mono=("b",))
    assert "#" not in html
    assert "rgb" not in html
    assert "background" not in html
