"""``pymmio nvme features``."""

from __future__ import annotations

import pytest

from tests.unit.cli.nvme.conftest import Disk
from tests.unit.cli.running import (
    assert_fails,
    json_of,
    output,
    plain,
    run,
    run_on_terminal,
)


def test_all_features_by_name() -> None:
    head, *rows = output("nvme", "features", "sim:nvme").splitlines()
    assert head.split() == ["id", "feature", "value", "fields", "may"]
    assert any(row.startswith("06  volatile write cache") and " wce=1 " in row for row in rows)
    assert any("error recovery" in row and row.endswith("set per namespace") for row in rows)


def test_json_has_all_of_each() -> None:
    found = json_of("nvme", "features", "sim:nvme")
    by_id = {one["fid"]: one for one in found["features"]}
    assert by_id[6]["fields"] == {"wce": 1}
    assert by_id[6]["saveable"] is False
    assert by_id[4]["value"] == 0x157


@pytest.mark.parametrize("fid", ["4", "0x04", "temperature-threshold"])
def test_one_with_what_its_fields_mean(fid: str) -> None:
    text = output("nvme", "features", "sim:nvme", "--get", fid)
    assert text.startswith("temperature threshold of sim:nvme\n")
    assert "343  (kelvin" in text


def test_setting_shows_what_it_reads_then() -> None:
    found = json_of("nvme", "features", "sim:nvme", "--set", "volatile-write-cache=0")
    assert (found["name"], found["value"]) == ("volatile write cache", 0)


def test_features_of_a_namespace() -> None:
    arguments = ("--set", "5=9", "-n", "2")
    assert json_of("nvme", "features", "sim:nvme?ns=2", *arguments)["value"] == 9


def test_what_the_controller_refuses_is_an_error() -> None:
    assert_fails(run("nvme", "features", "sim:nvme", "--set", "2=3"), 1, "Invalid Field")
    assert_fails(run("nvme", "features", "sim:nvme", "--set", "6=0", "--save"), 1, "Not Saveable")
    assert_fails(run("nvme", "features", "sim:nvme", "--get", "0xc7"), 1, "Invalid Field")


@pytest.mark.usefixtures("must_not_open")
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--get", "toaster"), "volatile-write-cache"),
        (("--get", "0x100"), "0xff"),
        (("--set", "6"), "FID=VALUE"),
        (("--set", "6=x"), "FID=VALUE"),
        (("--get", "6", "--set", "6=0"), "not both"),
        (("--save",), "--set"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], word: str) -> None:
    assert_fails(run("nvme", "features", "sim:nvme", *arguments), 2, word)


@pytest.mark.usefixtures("must_not_open")
def test_nothing_is_opened_where_nobody_can_be_asked(disk: Disk) -> None:
    result = run("nvme", "features", disk.uri, "--set", "6=0")
    assert_fails(result, 2, "sets volatile write cache to 0x0", "--yes")


def test_yes_asks_nobody(disk: Disk) -> None:
    assert json_of("nvme", "features", disk.uri, "--set", "6=0", "--yes")["value"] == 0


def test_a_person_is_asked(disk: Disk) -> None:
    arguments = ("nvme", "features", disk.uri, "--set", "6=0")
    code, shown = run_on_terminal(*arguments, typed="y\n")
    assert code == 0
    assert "pymmio NVMe model PYMMIO0001: this sets volatile write cache to 0x0" in plain(shown)
    code, shown = run_on_terminal(*arguments, typed="n\n", columns=200)
    assert code == 2
    assert "the answer was no: nothing was changed" in plain(shown)


@pytest.mark.parametrize("columns", [80, 160])
def test_the_table_fits_the_terminal(columns: int) -> None:
    code, shown = run_on_terminal("nvme", "features", "sim:nvme", columns=columns)
    assert code == 0
    assert max(map(len, plain(shown).splitlines())) <= columns
