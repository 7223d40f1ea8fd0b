"""``pymmio nvme read``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.cli.nvme.conftest import Disk
from tests.unit.cli.running import (
    COMMAND,
    DEADLINE_S,
    assert_fails,
    json_of,
    output,
    run,
    run_on_terminal,
)


def test_dumps_one_block_where_it_stands(disk: Disk) -> None:
    lines = output("nvme", "read", disk.uri, "--lba", "8").splitlines()
    assert len(lines) == 32
    assert lines[0].startswith(f"00001000: {disk.blocks(8, 1)[:16].hex(' ')}  ")
    assert lines[-1].startswith("000011f0: ")


@pytest.mark.parametrize("blocks", [1, 8, 2047, 2048, 2049, 8192])
def test_saves_blocks_to_a_file(disk: Disk, tmp_path: Path, blocks: int) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"what was there before, and longer than one block" * 100)
    arguments = ("nvme", "read", disk.uri, "--lba", "0", "--blocks", str(blocks))
    assert output(*arguments, "--output", str(target)) == ""
    assert target.read_bytes() == disk.blocks(0, blocks)


def test_bytes_go_through_a_pipe(disk: Disk) -> None:
    done = subprocess.run(
        [*COMMAND, "nvme", "read", disk.uri, "--lba", "3", "--blocks", "3K", "--output", "-"],
        capture_output=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout == disk.blocks(3, 3072)
    assert done.stderr == b""


def test_json_has_the_bytes(disk: Disk) -> None:
    found = json_of("nvme", "read", disk.uri, "--lba", "1", "--blocks", "2")
    assert bytes.fromhex(found.pop("data")) == disk.blocks(1, 2)
    assert found == {"uri": disk.uri, "nsid": 1, "lba": 1, "blocks": 2, "bytes": 1024}


def test_json_names_the_file(disk: Disk, tmp_path: Path) -> None:
    target = tmp_path / "out"
    found = json_of("nvme", "read", disk.uri, "--lba", "1", "--output", str(target))
    assert found["output"] == str(target)
    assert target.read_bytes() == disk.blocks(1, 1)


@pytest.mark.parametrize(
    ("lba", "blocks"),
    [("8192", "1"), ("8191", "2"), ("0", "8193"), (str(1 << 64), "1"), ("0", "1T")],
)
def test_beyond_the_end_nothing_is_read_and_no_file_made(
    disk: Disk, tmp_path: Path, lba: str, blocks: str
) -> None:
    target = tmp_path / "out"
    arguments = ("nvme", "read", disk.uri, "--lba", lba, "--blocks", blocks)
    assert_fails(run(*arguments, "--output", str(target)), 2, "8191", "Nothing was sent")
    assert not target.exists()


def test_a_file_that_cannot_be_written_is_one_line(disk: Disk, tmp_path: Path) -> None:
    target = tmp_path / "missing" / "out"
    result = run("nvme", "read", disk.uri, "--lba", "0", "--output", str(target))
    assert_fails(result, 1, str(target), "No such file")


def test_no_blocks_are_refused(disk: Disk) -> None:
    assert_fails(run("nvme", "read", disk.uri, "--lba", "0", "--blocks", "0"), 2, "--blocks")


def test_the_first_block_has_to_be_said(disk: Disk) -> None:
    assert_fails(run("nvme", "read", disk.uri), 2, "--lba")


def test_json_and_bytes_do_not_mix(disk: Disk) -> None:
    result = run("nvme", "read", disk.uri, "--lba", "0", "--json", "--output", "-")
    assert_fails(result, 2, "--json")


def test_a_namespace_that_does_not_exist(disk: Disk) -> None:
    assert_fails(run("nvme", "read", disk.uri, "--lba", "0", "--namespace", "9"), 4, "9")


def test_a_terminal_sees_no_bar_once_the_file_is_there(disk: Disk, tmp_path: Path) -> None:
    target = tmp_path / "out"
    code, shown = run_on_terminal(
        "nvme", "read", disk.uri, "--lba", "0", "--blocks", "8K", "--output", str(target)
    )
    assert code == 0
    assert "reading" in shown
    assert target.read_bytes() == disk.content
