"""``pymmio config``."""

from __future__ import annotations

from tests.unit.cli.running import json_of, output, run_on_terminal


def facts_of(*arguments: str) -> tuple[dict[str, str], list[str]]:
    """Return names with values, and the lines of the hex dump."""
    title, *lines = output("config", *arguments).splitlines()
    assert title == f"configuration space of {arguments[0]}"
    dump = [line for line in lines if line[2:4] == ": " or line[3:5] == ": "]
    facts = {}
    for line in lines:
        if line not in dump:
            name, value = line.split(maxsplit=1)
            facts[name] = value
    return facts, dump


def test_the_header_is_decoded() -> None:
    facts, _ = facts_of("sim:nvme")
    assert facts["vendor:device"] == "1b36:0010"
    assert facts["class"].startswith("010802  ")
    assert facts["revision"] == "02"
    assert facts["command"] == "memory"
    assert "capabilities list" in facts["status"]
    assert facts["BAR0"].startswith("16 KiB, memory at")
    assert "64-bit, non-prefetchable" in facts["BAR0"]
    assert facts["space"] == "4096 bytes"


def test_the_bytes_of_the_header_follow() -> None:
    _, dump = facts_of("sim:edu")
    assert len(dump) == 4
    assert dump[0].startswith("00: 34 12 e8 11 ")
    assert dump[2].endswith("f4 1a 00 11")


def test_all_shows_the_whole_space() -> None:
    _, dump = facts_of("sim:nvme", "--all")
    assert len(dump) == 256
    assert dump[-1].startswith("ff0: ")


def test_json_has_numbers_names_and_bytes() -> None:
    found = json_of("config", "sim:nvme")
    assert found["uri"] == "sim:nvme"
    assert (found["vendor_id"], found["device_id"]) == (0x1B36, 0x0010)
    assert found["class_code"] == 0x010802
    assert found["command"] == ["MEMORY"]
    assert found["size"] == 4096
    assert {(one["name"], one["size"]) for one in found["regions"]} == {
        ("BAR0", 16384),
        ("config", 4096),
    }
    assert bytes.fromhex(found["bytes"])[:4] == b"\x36\x1b\x10\x00"
    assert len(bytes.fromhex(found["bytes"])) == 64


def test_json_of_the_whole_space() -> None:
    assert len(bytes.fromhex(json_of("config", "sim:nvme", "--all")["bytes"])) == 4096


def test_a_terminal_gets_a_frame() -> None:
    code, shown = run_on_terminal("config", "sim:edu")
    assert code == 0
    assert "╭" in shown
    assert "1234:11e8" in shown
