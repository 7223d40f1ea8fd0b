"""``pymmio caps``."""

from __future__ import annotations

import pytest

from pymmio.backend.model_config import ConfigModel
from tests.unit.cli.running import json_of, output, run


def test_capabilities_stand_in_the_order_of_the_list() -> None:
    head, *rows = output("caps", "sim:nvme").splitlines()
    assert head.split() == ["at", "id", "name", "says"]
    assert [row.split()[1] for row in rows[:4]] == ["01", "05", "11", "10"]
    assert any("MSI-X" in row and "vectors=65" in row for row in rows)


def test_json_has_the_facts_of_each() -> None:
    found = json_of("caps", "sim:nvme")
    assert set(found) == {"uri", "capabilities", "extended_capabilities", "damage"}
    msix = next(one for one in found["capabilities"] if one["name"] == "MSI-X")
    assert msix["id"] == 0x11
    assert msix["vectors"] == 65
    assert msix["table"]["bar"] == 0


def test_an_option_of_the_model_shows() -> None:
    found = json_of("caps", "sim:nvme?msix_qsize=9")
    assert [one["vectors"] for one in found["capabilities"] if one["name"] == "MSI-X"] == [9]


def test_what_is_damaged_does_not_hide_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    build = ConfigModel._capabilities

    def damaged(self: ConfigModel) -> None:
        build(self)
        self._bytes[0x100:0x104] = (0x1001_0001).to_bytes(4, "little")  # AER, then itself
        assert self.msix_offset is not None
        self._bytes[self.msix_offset + 4] = 7  # the table is in a BAR that does not exist

    monkeypatch.setattr(ConfigModel, "_capabilities", damaged)
    result = run("caps", "sim:nvme")
    assert result.exit_code == 1
    rows = result.stdout.splitlines()
    assert any("MSI-X" in row and "not decoded: " in row for row in rows)
    assert any("PCI Express" in row and "version=2" in row for row in rows)
    assert any("AER" in row and "header_log" in row for row in rows)
    assert "the list is a circle" in result.stderr
    assert run("caps", "sim:nvme", "--json").exit_code == 1
