from __future__ import annotations

from pymmio.pci import ConfigSpace

from . import dumps, spaces


def test_header_and_capabilities():
    config = ConfigSpace(spaces.literal(dumps.E1000E, 4096))
    html = config._repr_html_()
    assert html.count("<table") == 3
    for text in ("8086:10d3", "BAR2", "I/O ports at 0xc000", "MSI-X", "52-54-00-ff-ff-12-34-56"):
        assert text in html
    assert "<script" not in html
    assert "http" not in html


def test_nothing_is_written():
    fake = spaces.literal(dumps.E1000E, 4096)
    ConfigSpace(fake)._repr_html_()
    assert fake.writes == []


def test_a_device_that_is_gone_says_so():
    fake = spaces.nvme()
    fake.put(0, 8, (1 << 64) - 1)
    assert "nothing answers" in ConfigSpace(fake)._repr_html_()


def test_bad_bars_do_not_hide_the_rest():
    fake = spaces.nvme()
    fake.put(0x10, 4, 0x6)
    html = ConfigSpace(fake)._repr_html_()
    assert "memory type 3 is reserved" in html
    assert "MSI-X" in html


def test_capability_list_as_html_and_text():
    capabilities = ConfigSpace(spaces.nvme()).capabilities()
    assert "MSI-X" in capabilities._repr_html_()
    assert str(capabilities).startswith("[40] MSI-X: enabled=yes")
    assert "Capabilities: none" in type(capabilities)()._repr_html_()
    assert str(type(capabilities)()) == "no capabilities"
