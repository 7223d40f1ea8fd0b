"""``pymmio nvme bench``."""

from __future__ import annotations

import pytest

from tests.unit.cli.nvme.conftest import BLOCK_SIZE, Disk
from tests.unit.cli.running import assert_fails, json_of, output, run, run_on_terminal

SHORT = ("--seconds", "0.05")


def test_json_has_the_keys_that_stay() -> None:
    found = json_of("nvme", "bench", "sim:nvme", *SHORT)
    assert {"iops", "bandwidth_bytes_s", "lat_us", "errors"} <= set(found)
    assert {"p50", "p99", "p999", "mean"} <= set(found["lat_us"])
    assert found["errors"] == 0
    assert found["iops"] > 0
    assert found["bandwidth_bytes_s"] == pytest.approx(found["iops"] * 4096)
    lat = found["lat_us"]
    assert 0 < lat["p50"] <= lat["p99"] <= lat["p999"]


@pytest.mark.parametrize("rw", ["randread", "randwrite", "read", "write", "randrw"])
def test_all_modes(rw: str) -> None:
    arguments = ("--rw", rw, "--bs", "8K", "--qd", "4", *SHORT)
    found = json_of("nvme", "bench", "sim:nvme?size=1M", *arguments)
    assert (found["rw"], found["bs"], found["qd"]) == (rw, 8192, 4)
    assert found["commands"] > 0


def test_a_deep_queue_is_made_if_it_is_asked_for() -> None:
    assert json_of("nvme", "bench", "sim:nvme", "--qd", "300", *SHORT)["qd"] == 300


def test_a_queue_deeper_than_the_controller_has_is_refused() -> None:
    assert_fails(run("nvme", "bench", "sim:nvme?mqes=63", "--qd", "100", *SHORT), 1, "64")


def test_the_table_names_the_work() -> None:
    head, *rows = output("nvme", "bench", "sim:nvme", "--qd", "2", *SHORT).splitlines()
    assert head.split(maxsplit=1) == ["measured", "random reads, 4 KiB, 2 at once"]
    assert [row.split()[0] for row in rows[:2]] == ["IOPS", "bandwidth"]


def test_a_terminal_sees_a_bar_and_a_frame() -> None:
    code, shown = run_on_terminal("nvme", "bench", "sim:nvme", *SHORT)
    assert code == 0
    assert "random reads" in shown
    assert "╭" in shown


def test_writes_stay_in_their_range(disk: Disk) -> None:
    arguments = ("--rw", "randwrite", "--bs", "512", "--range", "16:8", "--write", *SHORT)
    json_of("nvme", "bench", disk.uri, *arguments)
    after = disk.path.read_bytes()
    start, end = 16 * BLOCK_SIZE, 24 * BLOCK_SIZE
    assert (after[:start], after[end:]) == (disk.content[:start], disk.content[end:])
    assert after[start:end] != disk.content[start:end]


def test_reads_write_nothing(disk: Disk) -> None:
    json_of("nvme", "bench", disk.uri, "--rw", "randread", *SHORT)
    assert disk.is_untouched


@pytest.mark.usefixtures("must_not_open")
@pytest.mark.parametrize("rw", ["randwrite", "write", "randrw"])
def test_without_write_nothing_is_opened(disk: Disk, rw: str) -> None:
    assert_fails(run("nvme", "bench", disk.uri, "--rw", rw, *SHORT), 2, "--write")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--bs", "1000"),
        ("--bs", "0"),
        ("--bs", "1G"),
        ("--qd", "0"),
        ("--qd", "65535"),
        ("--seconds", "0"),
        ("--seconds", "-1"),
        ("--rw", "trim"),
        ("--range", "0:1G"),
        ("--range", "8"),
        ("--range", "0:0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...]) -> None:
    assert_fails(run("nvme", "bench", "sim:nvme", *SHORT, *arguments), 2)
