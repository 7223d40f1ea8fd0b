"""``pymmio nvme flush``."""

from __future__ import annotations

from tests.unit.cli.running import assert_fails, assert_one_line, json_of, run


def test_says_how_long_it_took() -> None:
    result = run("nvme", "flush", "sim:nvme")
    assert (result.exit_code, result.stdout) == (0, "")
    assert_one_line(result.stderr, "flushed namespace 1 in ")


def test_json() -> None:
    found = json_of("nvme", "flush", "sim:nvme?ns=2", "--namespace", "2")
    assert found["nsid"] == 2
    assert found["lat_us"] > 0


def test_a_namespace_that_does_not_exist() -> None:
    assert_fails(run("nvme", "flush", "sim:nvme", "--namespace", "2"), 4, "2")
