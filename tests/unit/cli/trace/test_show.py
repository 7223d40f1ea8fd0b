"""pymmio trace show: events with names, numbers, JSON, a file for Perfetto."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pymmio
from pymmio.trace import JsonLinesSink, RecordingSink
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from tests.unit.cli.running import assert_fails, json_of, output, plain, run, run_on_terminal


@pytest.fixture
def edu(tmp_path: Path) -> str:
    path = tmp_path / "edu.jsonl"
    with pymmio.open_device("sim:edu", trace=RecordingSink(path)) as device:
        Edu(device).factorial(5, by_interrupt=True)
    return str(path)


@pytest.fixture
def nvme(tmp_path: Path) -> str:
    path = tmp_path / "nvme.jsonl"
    with pymmio.open_device("sim:nvme", trace=JsonLinesSink(path)) as device:
        with Controller.open(device, interrupts="msix") as controller:
            controller.namespaces[1].read_bytes(lba=0, blocks=1)
    return str(path)


def test_edu_has_its_names(edu: str) -> None:
    shown = output("trace", "show", edu)
    assert "BAR0.Status write32 = 0x80 (irq_after_factorial=1)" in shown
    assert "BAR0.Factorial write32 = 0x5" in shown
    assert "interrupt msi[0]" in shown
    assert "config.COMMAND write16 = 0x6 (memory=1 bus_master=1)" in shown


def test_nvme_has_its_names_and_those_of_its_doorbells(nvme: str) -> None:
    shown = output("trace", "show", nvme, "--region", "bar0")
    assert "BAR0.CSTS wait32 = 0x1 (rdy=1)" in shown
    assert "BAR0.CC write32 = 0x460001 (en=1 iosqes=6 iocqes=4)" in shown
    assert "BAR0.SQ1TDBL write32 = 0x1" in shown
    assert "BAR0.CQ1HDBL write32 = 0x1" in shown
    assert "config" not in shown.split("device")[0]


def test_names_of_an_installed_driver_are_found_by_the_ids(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    with pymmio.open_device("sim:nvme", trace=JsonLinesSink(path)) as device:
        device.region(0).read32(0x1C)
    assert "BAR0.CSTS read32 = 0x0" in output("trace", "show", str(path))
    assert "BAR0+0x001c read32" in output("trace", "show", str(path), "--no-names")


def test_times_count_from_the_first_event(edu: str) -> None:
    assert output("trace", "show", edu).startswith("    0.000000 ")


def test_events_can_be_chosen(edu: str) -> None:
    lines = output("trace", "show", edu, "--kind", "irq", "--kind", "irq-on").splitlines()
    assert [line.split()[2] for line in lines[:2]] == ["interrupts", "interrupt"]
    assert lines[2] == ""
    last = output("trace", "show", edu, "--last", "1").splitlines()
    assert last[0].endswith("device close")


def test_numbers(edu: str) -> None:
    shown = output("trace", "show", edu, "--stats")
    assert "sim:edu\n" in shown
    assert "interrupts" in shown
    row = next(line for line in shown.splitlines() if "Identification" in line)
    assert row.split()[:7] == ["BAR0", "0x0000", "Identification", "32", "1", "0", "0"]


def test_json_has_all(edu: str) -> None:
    found = json_of("trace", "show", edu, "--region", "BAR0")
    assert found["ids"]["vendor_id"] == 0x1234
    assert found["is_recording"]
    assert found["is_complete"]
    first = found["events"][0]
    assert (first["kind"], first["name"], first["fields"], first["value"]) == (
        "read",
        "Identification",
        "magic=0xed major=1",
        "0x10000ed",
    )
    assert found["summary"]["registers"][0]["reads"] == 1
    assert json_of("trace", "show", edu, "--stats")["events"] == []


def test_a_file_for_perfetto(edu: str, tmp_path: Path) -> None:
    out = tmp_path / "trace.json"
    result = run("trace", "show", edu, "--perfetto", str(out))
    assert result.exit_code == 0
    assert "ui.perfetto.dev" in result.stderr
    names = [event["name"] for event in json.loads(out.read_text())]
    assert "write32 Factorial" in names
    assert "interrupt msi[0]" in names


def test_a_person_gets_the_same(edu: str) -> None:
    code, shown = run_on_terminal("trace", "show", edu, columns=100)
    assert code == 0
    assert "BAR0.Factorial write32 = 0x5" in plain(shown)
    assert "Identification" in plain(shown)


def test_a_narrow_table_of_registers_is_whole(nvme: str) -> None:
    code, shown = run_on_terminal("trace", "show", nvme, "--stats", columns=72)
    assert code == 0
    assert "…" not in plain(shown)
    assert "0x1008" in plain(shown)


def test_a_trace_without_its_end_is_shown_with_a_note(edu: str) -> None:
    path = Path(edu)
    path.write_bytes(path.read_bytes()[:-30])
    result = run("trace", "show", edu)
    assert result.exit_code == 0
    assert "the file has no end" in result.stderr


def test_lost_events_are_told(tmp_path: Path) -> None:
    path = tmp_path / "short.jsonl"
    with pymmio.open_device("sim:edu", trace=JsonLinesSink(path, limit=2)):
        pass
    assert "events more were lost" in run("trace", "show", str(path)).stderr


def test_a_damaged_file_is_told_with_its_line(edu: str) -> None:
    lines = Path(edu).read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace('"width"', '"breadth"')
    Path(edu).write_text("".join(lines))
    assert_fails(run("trace", "show", edu), 1, "edu.jsonl, line 5: 'width' is None")


def test_wrong_usage_is_told(edu: str) -> None:
    assert_fails(run("trace", "show", "/nowhere"), 2, "/nowhere")
    assert_fails(run("trace", "show", edu, "--region", "bar5"), 2, "the trace has bar0, config")
