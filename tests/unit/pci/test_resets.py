from __future__ import annotations

import pytest

from pymmio.pci.resets import ResetKind, ResetMethod, SystemResets, look_at_resets

from . import dumps, spaces


def said(fake, system=None):
    return {m.kind: m.is_available for m in look_at_resets(fake, system).looked_at}


def test_by_its_own_words():
    assert said(spaces.literal(dumps.NVME, 4096)) == {"flr": True, "af_flr": False, "pm": False}
    assert said(spaces.literal(dumps.E1000E, 4096)) == {"flr": False, "af_flr": False, "pm": True}
    assert said(spaces.literal(dumps.EDU, 256)) == {"flr": False, "af_flr": False, "pm": False}


def test_advanced_features():
    fake = spaces.literal({0x06: "10 00", 0x34: "40", 0x40: "13 00 06 03 00 00"}, 256)
    assert said(fake)["af_flr"]


def test_nothing_is_said_plainly():
    methods = look_at_resets(spaces.literal(dumps.EDU, 256))
    assert len(methods) == 0
    assert not methods
    assert ResetKind.FLR not in methods
    assert str(methods).startswith("nothing resets this function\nflr: no, no PCI Express")


def test_the_kernel_knows_better():
    nvme = spaces.literal(dumps.NVME, 4096)
    assert said(nvme, SystemResets(("flr", "bus"))) == {
        "flr": True,
        "af_flr": False,
        "pm": False,
        "bus": True,
    }
    left_out = look_at_resets(nvme, SystemResets(("bus",)))
    assert "does not use it (reset_method: bus)" in left_out.looked_at[0].says
    assert [m.kind for m in left_out] == ["bus"]
    quirk = look_at_resets(nvme, SystemResets(("pm",)))
    assert "pm" in quirk


def test_an_older_kernel_shows_no_file():
    assert said(spaces.literal(dumps.NVME, 4096), SystemResets(None))["flr"]


def test_an_interface_that_refuses():
    methods = look_at_resets(
        spaces.literal(dumps.NVME, 4096), SystemResets(("flr", "bus"), refusal="it will not")
    )
    assert len(methods) == 0
    assert all("it will not" in m.says for m in methods.looked_at if m.kind in ("flr", "bus"))


def test_a_word_that_is_not_known_is_left_out():
    assert said(spaces.literal(dumps.EDU, 256), SystemResets(("quantum",))) == said(
        spaces.literal(dumps.EDU, 256)
    )


def test_damage_is_told():
    fake = spaces.nvme()
    fake.put(0x34, 1, 0x10)
    methods = look_at_resets(fake)
    assert len(methods) == 0
    assert "points into the header" in methods.looked_at[0].says


def test_as_dict_and_html():
    more = (ResetMethod(ResetKind.HOT, True, "it would also reset <b>", ("0000:01:00.1",)),)
    methods = look_at_resets(spaces.literal(dumps.EDU, 256), SystemResets((), more=more))
    assert methods.as_dict()["reset_methods"][-1] == {
        "kind": "hot",
        "is_available": True,
        "says": "it would also reset <b>",
        "affects": ["0000:01:00.1"],
    }
    html = methods._repr_html_()
    assert "&lt;b&gt;" in html
    assert "nothing resets" in look_at_resets(spaces.literal(dumps.EDU, 256))._repr_html_()


@pytest.mark.parametrize("kind", ["flr", "af_flr", "pm", "device_specific", "acpi", "bus"])
def test_names_are_those_of_the_kernel(kind):
    assert ResetKind(kind) == kind
