"""``pymmio nvme write``: what was asked for, where it was asked for, or nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.cli.nvme.conftest import BLOCK_SIZE, Disk
from tests.unit.cli.running import assert_fails, assert_one_line, json_of, run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of five blocks."""
    path = tmp_path / "in"
    path.write_bytes(random.Random(2).randbytes(5 * BLOCK_SIZE))
    return path


def content_after(disk: Disk, lba: int, data: bytes) -> bytes:
    at = lba * BLOCK_SIZE
    return disk.content[:at] + data + disk.content[at + len(data) :]


def test_writes_the_file_and_nothing_else(disk: Disk, source: Path) -> None:
    result = run("nvme", "write", disk.uri, "--lba", "7", "--input", str(source), "--write")
    assert (result.exit_code, result.stdout) == (0, "")
    assert_one_line(result.stderr, "2.5 KiB", "blocks 7 to 11")
    assert disk.path.read_bytes() == content_after(disk, 7, source.read_bytes())


@pytest.mark.parametrize("blocks", [2047, 2048, 2049, 8192])
def test_large_files_are_written_in_pieces(disk: Disk, tmp_path: Path, blocks: int) -> None:
    source = tmp_path / "large"
    source.write_bytes(random.Random(3).randbytes(blocks * BLOCK_SIZE))
    found = json_of("nvme", "write", disk.uri, "--lba", "0", "--input", str(source), "--write")
    assert found == {
        "uri": disk.uri,
        "nsid": 1,
        "lba": 0,
        "blocks": blocks,
        "bytes": blocks * BLOCK_SIZE,
    }
    assert disk.path.read_bytes() == content_after(disk, 0, source.read_bytes())


def test_standard_input_is_written(disk: Disk) -> None:
    data = b"x" * BLOCK_SIZE
    arguments = ("nvme", "write", disk.uri, "--lba", "2", "--input", "-", "--write")
    assert run(*arguments, stdin=data).exit_code == 0
    assert disk.path.read_bytes() == content_after(disk, 2, data)


@pytest.mark.usefixtures("must_not_open")
def test_without_write_nothing_is_opened(disk: Disk, source: Path) -> None:
    result = run("nvme", "write", disk.uri, "--lba", "7", "--input", str(source))
    assert_fails(result, 2, "nothing was touched", "--write")
    assert disk.is_untouched


@pytest.mark.usefixtures("must_not_open")
def test_real_hardware_is_not_opened_without_write(source: Path) -> None:
    result = run("nvme", "write", "vfio:0000:01:00.0", "--lba", "0", "--input", str(source))
    assert_fails(result, 2, "--write")


def test_a_model_without_a_file_needs_no_permission(source: Path) -> None:
    assert run("nvme", "write", "sim:nvme", "--lba", "0", "--input", str(source)).exit_code == 0


@pytest.mark.parametrize("size", [0, 1, 511, 513])
def test_parts_of_blocks_are_refused(disk: Disk, tmp_path: Path, size: int) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(bytes(size))
    result = run("nvme", "write", disk.uri, "--lba", "0", "--input", str(odd), "--write")
    assert_fails(result, 2, f"{size} bytes", "512", "nothing was written")
    assert disk.is_untouched


@pytest.mark.parametrize("lba", ["8188", "8192", str(1 << 63)])
def test_beyond_the_end_nothing_is_written(disk: Disk, source: Path, lba: str) -> None:
    result = run("nvme", "write", disk.uri, "--lba", lba, "--input", str(source), "--write")
    assert_fails(result, 2, "8191", "Nothing was sent")
    assert disk.is_untouched


def test_a_file_that_does_not_exist_is_one_line(disk: Disk, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    result = run("nvme", "write", disk.uri, "--lba", "0", "--input", missing, "--write")
    assert_fails(result, 2, missing)
    assert disk.is_untouched
