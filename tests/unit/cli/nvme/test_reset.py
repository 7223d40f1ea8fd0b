"""``pymmio nvme reset``."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.cli.nvme.conftest import Disk
from tests.unit.cli.running import assert_fails, json_of, output, plain, run, run_on_terminal


def test_the_controller() -> None:
    assert "the controller was reset and is ready" in output("nvme", "reset", "sim:nvme")
    found = json_of("nvme", "reset", "sim:nvme")
    assert (found["kind"], found["start_ms"]) == ("controller", None)
    assert found["reset_ms"] > 0


def test_the_function() -> None:
    assert "the PCI function was reset" in output("nvme", "reset", "sim:nvme", "--function")
    found = json_of("nvme", "reset", "sim:nvme", "--function")
    assert found["kind"] == "function"
    assert found["start_ms"] > 0


def test_a_controller_reset_writes_cc() -> None:
    lines = run("nvme", "reset", "sim:nvme", "--trace").stderr.splitlines()
    writes = [line for line in lines if "BAR0+0x0014 write32" in line]
    enabled = [int(line.split("0x")[-1], 16) & 1 for line in writes]
    assert [bit for bit, _ in itertools.groupby(enabled)] == [0, 1, 0, 1, 0]  # open, reset, close


@pytest.mark.usefixtures("must_not_open")
@pytest.mark.parametrize("arguments", [(), ("--function",)])
def test_nothing_is_opened_where_nobody_can_be_asked(disk: Disk, arguments: tuple[str]) -> None:
    assert_fails(run("nvme", "reset", disk.uri, *arguments), 2, "nothing was touched", "--yes")


@pytest.mark.parametrize("arguments", [(), ("--function",)])
def test_yes_asks_nobody(disk: Disk, arguments: tuple[str]) -> None:
    json_of("nvme", "reset", disk.uri, "--yes", *arguments)
    assert disk.is_untouched


@pytest.mark.parametrize("arguments", [(), ("--function",)])
def test_a_person_is_asked(disk: Disk, arguments: tuple[str]) -> None:
    code, shown = run_on_terminal("nvme", "reset", disk.uri, *arguments, typed="n\n", columns=200)
    assert code == 2
    assert "nothing was changed" in plain(shown)
    code, shown = run_on_terminal("nvme", "reset", disk.uri, *arguments, typed="y\n", columns=200)
    assert code == 0
    assert "was reset" in plain(shown)
