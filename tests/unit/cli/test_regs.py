"""``pymmio regs``."""

from __future__ import annotations

import pytest

from tests.unit.cli.running import assert_fails, json_of, output, run, run_on_terminal


def test_shows_the_registers_that_the_driver_declares() -> None:
    text = output("regs", "sim:edu")
    assert text.splitlines()[0].endswith("of sim:edu BAR0")
    assert "0x010000ed" in text
    assert "identification" in text
    assert "not read: write-only" in text


def test_json_has_values_and_fields() -> None:
    found = json_of("regs", "sim:nvme")
    by_name = {one["name"]: one for one in found["registers"]}
    assert found["uri"] == "sim:nvme"
    assert by_name["cap"]["value"] == 0x004000200F0107FF
    assert by_name["cap"]["fields"]["mqes"] == 2047
    assert by_name["csts"]["fields"]["rdy"] == 0


def test_writes_nothing_to_the_device_and_reads_each_register_once() -> None:
    lines = [s for s in run("regs", "sim:nvme", "--trace").stderr.splitlines() if "BAR0" in s]
    places = [line.split()[2] for line in lines]
    assert places
    assert all(" read" in line for line in lines)
    assert len(places) == len(set(places))


def test_a_driver_can_be_forced() -> None:
    title = output("regs", "sim:nvme", "--driver", "edu").splitlines()[0]
    assert title.endswith("of sim:nvme BAR0")


def test_a_driver_that_does_not_exist_is_told_with_those_that_do() -> None:
    assert_fails(run("regs", "sim:edu", "--driver", "toaster"), 1, "toaster", "edu", "nvme")


@pytest.mark.parametrize("columns", [72, 120])
def test_the_table_fits_the_terminal(columns: int) -> None:
    code, shown = run_on_terminal("regs", "sim:edu", columns=columns)
    assert code == 0
    assert "identification" in shown
    assert max(len(line) for line in shown.splitlines() if "\x1b" not in line) <= columns
