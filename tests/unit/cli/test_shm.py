"""``pymmio shm``."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.running import assert_fails, assert_one_line, json_of, output, run

SIM = "sim:virtio-shm?count=3&size=64K"


def test_list_shows_regions_and_what_they_are_for() -> None:
    text = output("shm", "list", SIM)
    assert "BAR2 at 0x10000" in text
    assert "host visible" in text
    found = json_of("shm", "list", SIM)
    assert [(one["id"], one["size"], one["purpose"]) for one in found] == [
        (0, 65536, None),
        (1, 65536, "host visible"),
        (2, 65536, None),
    ]


def test_a_device_without_regions_says_so() -> None:
    result = run("shm", "list", "sim:virtio-rng")
    assert result.exit_code == 0
    assert_one_line(result.stderr, "has no shared-memory regions")
    assert json_of("shm", "list", "sim:virtio-rng") == []


def test_map_says_how_it_may_be_used() -> None:
    assert "plain memory" in output("shm", "map", SIM, "2")
    assert json_of("shm", "map", SIM, "2")["dereferenceable"] is True
    assert_fails(run("shm", "map", SIM, "7"), 4, "It has 0, 1, 2")


def test_dump_shows_or_saves(tmp_path: Path) -> None:
    assert output("shm", "dump", SIM, "0", "--size", "16").startswith("00000000: 00 00")
    saved = json_of("shm", "dump", SIM, "1", "--offset", "4K", "--output", str(tmp_path / "out"))
    assert saved["size"] == 0xF000
    assert (tmp_path / "out").read_bytes() == bytes(0xF000)
    assert json_of("shm", "dump", SIM, "1", "--size", "2")["data"] == "0000"
    assert_fails(run("shm", "dump", SIM, "1", "--offset", "65K", "--size", "1"), 2, "do not lie")
