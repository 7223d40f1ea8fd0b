"""``pymmio nvme demo``, which is ``make demo``."""

from __future__ import annotations

import pytest

from pymmio.cli.nvme import demo
from tests.unit.cli.nvme.conftest import BLOCK_SIZE, Disk
from tests.unit.cli.running import assert_fails, json_of, output, run, run_on_terminal


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SECONDS", 0.02)


def test_a_model_is_identified_written_read_verified_measured_shut_down() -> None:
    text = output("nvme", "demo", "sim:nvme?size=128M")
    order = [
        "controller ready after",
        "identify controller",
        "pymmio NVMe model",
        "128 MiB  262144",
        "written  64 MiB at ",
        "read     64 MiB at ",
        "verified",
        "IOPS",
        "p99.9",
        "controller shut down",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_small_model_is_used_whole() -> None:
    assert json_of("nvme", "demo", "sim:nvme?size=1M")["blocks"] == 2048


def test_json() -> None:
    found = json_of("nvme", "demo", "sim:nvme?size=2M&serial=ABC")
    assert found["controller"]["sn"] == "ABC"
    assert found["namespace"]["size"] == 2 << 20
    assert [one["what"] for one in found["passes"]] == ["written", "read"]
    assert [one["size"] for one in found["passes"]] == [2 << 20, 2 << 20]
    assert found["verified"] is True
    assert [(one["rw"], one["qd"]) for one in found["measured"]] == [
        ("randread", 1),
        ("randread", 32),
        ("randwrite", 32),
    ]
    assert all(one["iops"] > 0 and one["errors"] == 0 for one in found["measured"])


def test_what_is_not_simulated_is_only_read(disk: Disk) -> None:
    text = output("nvme", "demo", disk.uri)
    assert "nothing was written" in text
    assert "random writes" not in text
    assert disk.is_untouched


def test_only_the_range_is_written(disk: Disk) -> None:
    found = json_of("nvme", "demo", disk.uri, "--write", "--range", "16:64")
    assert (found["lba"], found["blocks"], found["verified"]) == (16, 64, True)
    after = disk.path.read_bytes()
    start, end = 16 * BLOCK_SIZE, 80 * BLOCK_SIZE
    assert (after[:start], after[end:]) == (disk.content[:start], disk.content[end:])
    assert after[start:end] != disk.content[start:end]


def test_one_block_is_enough(disk: Disk) -> None:
    found = json_of("nvme", "demo", disk.uri, "--write", "--range", "8191:1")
    assert found["verified"] is True
    assert {one["bs"] for one in found["measured"]} == {512}


@pytest.mark.usefixtures("must_not_open")
def test_write_needs_a_range(disk: Disk) -> None:
    assert_fails(run("nvme", "demo", disk.uri, "--write"), 2, "--range")


def test_a_range_beyond_the_end_is_refused_before_anything_is_written(disk: Disk) -> None:
    result = run("nvme", "demo", disk.uri, "--write", "--range", "8191:2")
    assert_fails(result, 2, "8191", "Nothing was sent")
    assert disk.is_untouched


def test_data_that_does_not_read_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from pymmio_drivers.nvme import Namespace

    honest = Namespace.read

    def lying(self: Namespace, buffer, *, lba: int, blocks: int | None = None) -> None:
        honest(self, buffer, lba=lba, blocks=blocks)
        with memoryview(buffer) as view:
            view[5 * BLOCK_SIZE + 3] ^= 1

    monkeypatch.setattr(Namespace, "read", lying)
    result = run("nvme", "demo", "sim:nvme?size=1M", "--json")
    assert_fails(result, 1, "block 5 does not read back")


def test_a_terminal_sees_bars_that_stay_and_tables() -> None:
    code, shown = run_on_terminal("nvme", "demo", "sim:nvme?size=2M", columns=80)
    assert code == 0
    assert "writing" in shown
    assert "reading" in shown
    assert "╭" in shown
    assert shown.rstrip().endswith("controller shut down, device given back")
