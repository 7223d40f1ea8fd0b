"""``pymmio caps``."""

from __future__ import annotations

import re

import pytest

from pymmio.backend.model_config import ConfigModel
from pymmio.cli.caps import words
from tests.unit.cli.running import json_of, output, run, run_on_terminal


def test_capabilities_stand_in_the_order_of_the_list() -> None:
    head, *rows = output("caps", "sim:nvme").splitlines()
    assert head.split() == ["at", "id", "name", "says"]
    assert [row.split()[1] for row in rows[:4]] == ["01", "05", "11", "10"]
    assert any("MSI-X" in row and "vectors: 65" in row for row in rows)


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
    assert any("PCI Express" in row and "version: 2" in row for row in rows)
    assert any("AER" in row and "header log" in row for row in rows)
    assert "the list is a circle" in result.stderr
    assert run("caps", "sim:nvme", "--json").exit_code == 1


def test_the_link_is_said_in_words() -> None:
    row = next(row for row in output("caps", "sim:nvme").splitlines() if "PCI Express" in row)
    assert "link status: 2.5 GT/s x1" in row
    assert "function-level reset: yes" in row
    assert "speed_gt_s" not in row


def test_a_terminal_has_a_line_for_each_fact() -> None:
    code, shown = run_on_terminal("caps", "sim:nvme")
    assert code == 0
    assert re.search(r"│ table: 1040 bytes at 0x2000 of BAR0 +│", shown)


def test_values_in_words() -> None:
    facts: dict[str, object] = {
        "is_64bit": True,
        "address": 0xFEE0_0000,
        "slot": None,
        "aspm": [],
        "aspm_supported": ["L0s", "L1"],
        "link_status": {"speed_gt_s": None, "width": 4},
        "max_payload": 256,
        "bars": [{"bar": 1, "size": "1 MiB"}],
        "type": "ROOT_PORT",
    }
    assert list(words(facts)) == [
        "64-bit: yes",
        "address: 0xfee00000",
        "ASPM: none",
        "ASPM supported: L0s, L1",
        "link status: unknown speed x4",
        "max payload: 256 bytes",
        "bars: bar: 1, size: 1 MiB",
        "type: root port",
    ]
