from __future__ import annotations

from pymmio.pci import ConfigSpace

from . import spaces


def test_both_lists():
    survey = ConfigSpace(spaces.e1000e()).survey_capabilities()
    assert [cap.offset for cap in survey.capabilities] == [0xC8, 0xD0, 0xE0, 0xA0]
    assert [cap.offset for cap in survey.extended] == [0x100, 0x140]
    assert survey.damage == ()
    assert list(survey.as_dict()) == ["capabilities", "extended_capabilities", "damage"]


def test_damage_of_one_list_hides_neither_its_beginning_nor_the_other():
    fake = spaces.e1000e()
    fake.put(0xD1, 1, 0xD0)  # behind MSI comes MSI
    fake.put(0x140, 4, 0x1001_0003)  # and behind the serial number AER
    survey = ConfigSpace(fake).survey_capabilities()
    assert [cap.name for cap in survey.capabilities] == ["power management", "MSI"]
    assert [cap.name for cap in survey.extended] == ["AER", "device serial number"]
    assert len(survey.damage) == 2
    assert "0xd0 was there before" in survey.damage[0]
    assert "0x100 was there before" in survey.damage[1]


def test_one_bad_capability_does_not_hide_the_rest():
    fake = spaces.e1000e()
    fake.put(0xA4, 4, 0x7)  # MSI-X table in BAR 7
    said = ConfigSpace(fake).survey_capabilities().as_dict()["capabilities"]
    assert "reserved" in said[3]["error"]
    assert "error" not in said[0]
    assert said[2]["type"] == "ENDPOINT"


def test_as_html():
    fake = spaces.e1000e()
    fake.put(0xD1, 1, 0xD0)
    html = ConfigSpace(fake).survey_capabilities()._repr_html_()
    assert html.count("<table") == 2
    assert "power management" in html
    assert "0xd0 was there before" in html
