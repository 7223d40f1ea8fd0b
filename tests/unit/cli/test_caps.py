"""``pymmio caps``."""

from __future__ import annotations

from tests.unit.cli.running import json_of, output


def test_capabilities_stand_in_the_order_of_the_list() -> None:
    head, *rows = output("caps", "sim:nvme").splitlines()
    assert head.split() == ["at", "id", "name", "says"]
    assert [row.split()[1] for row in rows[:4]] == ["01", "05", "11", "10"]
    assert any("MSI-X" in row and "vectors=65" in row for row in rows)


def test_json_has_the_facts_of_each() -> None:
    found = json_of("caps", "sim:nvme")
    assert set(found) == {"uri", "capabilities", "extended_capabilities"}
    msix = next(one for one in found["capabilities"] if one["name"] == "MSI-X")
    assert msix["id"] == 0x11
    assert msix["vectors"] == 65
    assert msix["table"]["bar"] == 0


def test_an_option_of_the_model_shows() -> None:
    found = json_of("caps", "sim:nvme?msix_qsize=9")
    assert [one["vectors"] for one in found["capabilities"] if one["name"] == "MSI-X"] == [9]
