"""``pymmio ivshmem``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.unit.cli.running import COMMAND, assert_fails, json_of, run


def test_two_programs_answer_each_other(tmp_path: Path) -> None:
    uri = f"sim:ivshmem?file={tmp_path / 'memory'}&size=1M"
    answering = subprocess.Popen(
        [*COMMAND, "ivshmem", "ping", uri, "--place", "1", "--answer", "--seconds", "30", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = json_of("ivshmem", "ping", uri, "--place", "0", "--count", "5", "--seconds", "25")
        assert (found["place"], found["peer"], found["count"]) == (0, 1, 5)
        assert 0 < found["lat_us"]["min"] <= found["lat_us"]["max"]
        plain = run("ivshmem", "ping", uri, "--place", "0", "--count", "2")
        assert plain.stdout.count("6 bytes from place 1: ") == 2
    finally:
        answering.kill()
        answering.communicate(timeout=10)


def test_nobody_there_is_a_timeout() -> None:
    result = run("ivshmem", "ping", "sim:ivshmem?size=1M", "--place", "0", "--seconds", "0.05")
    assert_fails(result, 5, "no peer came")


def test_a_plain_device_needs_a_place() -> None:
    assert_fails(run("ivshmem", "ping", "sim:ivshmem?size=1M"), 2, "place")


def test_the_answer_counts(tmp_path: Path) -> None:
    uri = f"sim:ivshmem?file={tmp_path / 'memory'}&size=1M"
    result = run("ivshmem", "ping", uri, "--place", "1", "--answer", "--seconds", "0.05", "--json")
    assert json.loads(result.stdout) == {"place": 1, "answered": 0}
