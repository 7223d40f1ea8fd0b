"""``pymmio nvme smart``."""

from __future__ import annotations

from pymmio.cli.nvme.smart import facts_of, smart_dict
from pymmio_drivers.nvme import SmartLog
from tests.unit.cli.running import assert_fails, json_of, output, plain, run, run_on_terminal


def log(*items: tuple[int, bytes]) -> SmartLog:
    data = bytearray(512)
    for offset, value in items:
        data[offset : offset + len(value)] = value
    return SmartLog.parse(bytes(data))


def test_values_have_units() -> None:
    title, *rows = output("nvme", "smart", "sim:nvme").splitlines()
    assert title == "health of sim:nvme"
    facts = dict(row.split("  ", 1) for row in rows)
    assert facts["critical warning"].strip() == "none"
    assert facts["temperature"].strip() == "50 °C  (warning from 70 °C, critical from 100 °C)"
    assert facts["power cycles"].strip() == "1"


def test_json_has_the_structure_and_the_units() -> None:
    found = json_of("nvme", "smart", "sim:nvme")
    assert found["composite_temperature"] == 323
    assert found["temperature_c"] == 50
    assert (found["warnings"], found["sensors_c"], found["bytes_read"]) == ([], {}, 0)


def test_of_a_namespace() -> None:
    assert json_of("nvme", "smart", "sim:nvme", "-n", "1")["power_cycles"] == 1
    assert_fails(run("nvme", "smart", "sim:nvme", "-n", "999"), 1, "Invalid Namespace")


def test_warnings_and_wear_in_words() -> None:
    bad = log((0, b"\x49"), (1, b"\x70\x01"), (3, bytes([4, 10, 130])), (200, b"\x2f\x01"))
    facts = dict(facts_of(bad))
    assert facts["critical warning"] == "spare low, read only, bit 6"
    assert facts["temperature"] == "95 °C"
    assert facts["temperature sensor 1"] == "30 °C"
    assert facts["spare capacity"] == "4 %  (too low below 10 %)"
    assert facts["life used"] == "130 %"
    assert smart_dict(bad)["warnings"] == ["spare low", "read only", "bit 6"]


def test_counters_of_128_bits_are_exact() -> None:
    huge = log((64, (1 << 70).to_bytes(16, "little")), (160, (1 << 65).to_bytes(16, "little")))
    assert dict(facts_of(huge))["media errors"] == f"{1 << 65:,}"
    assert smart_dict(huge)["host_read_commands"] == 1 << 70


def test_hours_become_days() -> None:
    facts = dict(facts_of(log((128, (1234).to_bytes(16, "little")), (192, b"\x5a\0\0\0"))))
    assert facts["powered on"] == "51 d 10 h"
    assert facts["time above warning"] == "1 h 30 min"


def test_a_terminal_sees_a_frame() -> None:
    code, shown = run_on_terminal("nvme", "smart", "sim:nvme")
    assert code == 0
    assert max(map(len, plain(shown).splitlines())) <= 80
    assert "╭" in shown
