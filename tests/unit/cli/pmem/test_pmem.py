"""``pymmio pmem``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.running import assert_fails, assert_one_line, json_of, output, run

SIM = "sim:virtio-pmem?size=64K"


def test_info_says_how_the_memory_is_reached() -> None:
    text = output("pmem", "info", SIM)
    assert "64 KiB (65536 bytes)" in text
    assert "shared-memory region 0" in text
    found = json_of("pmem", "info", SIM)
    assert (found["size"], found["durable_by"], found["cached"]) == (65536, "flush", True)
    assert "VIRTIO_PMEM_F_SHMEM_REGION" in found["features"]


def test_what_is_written_is_in_the_file(tmp_path: Path) -> None:
    uri = f"{SIM}&file={tmp_path / 'pm'}"
    refused = run("pmem", "write", uri, stdin=b"hello")
    assert_fails(refused, 2, "--write")
    done = run("pmem", "write", uri, "--offset", "4K", "--write", stdin=b"hello")
    assert done.exit_code == 0
    assert_one_line(done.stderr, "wrote 5 B at 0x1000, flushed")
    assert (tmp_path / "pm").read_bytes()[4096:4101] == b"hello"
    assert output("pmem", "read", uri, "--offset", "4K", "--size", "16").startswith(
        "00001000: 68 65 6c 6c 6f 00"
    )
    run("pmem", "write", uri, "--no-flush", "--write", stdin=b"lost")
    assert (tmp_path / "pm").read_bytes()[:4] == bytes(4)


def test_files_go_in_and_out(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 8)
    uri = f"{SIM}&file={tmp_path / 'pm'}"
    run("pmem", "write", uri, "--input", str(tmp_path / "in"), "--offset", "100", "--write")
    found = json_of(
        "pmem", "read", uri, "--offset", "100", "--size", "2K", "--output", str(tmp_path / "out")
    )
    assert found["size"] == 2048
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert json_of("pmem", "read", uri, "--offset", "100", "--size", "4")["data"] == "00010203"


@pytest.mark.parametrize("place", [("--offset", "64K"), ("--size", "65K"), ("--offset", "1T")])
def test_outside_nothing_is_read_or_made(tmp_path: Path, place: tuple[str, ...]) -> None:
    result = run("pmem", "read", SIM, *place, "--output", str(tmp_path / "out"))
    assert_fails(result, 2, "do not lie inside")
    assert not (tmp_path / "out").exists()


def test_flush_says_how_it_went() -> None:
    assert_one_line(run("pmem", "flush", SIM).stderr, "flushed in ")
    assert json_of("pmem", "flush", SIM)["result"] == "done"


def test_bench_counts_calls_and_flushes_of_the_device() -> None:
    found = json_of("pmem", "bench", SIM, "--seconds", "0.2", "--threads", "8")
    assert found["flushes_s"] >= found["device_flushes_s"] > 0
    assert set(found["lat_us"]) == {"mean", "p50", "p99", "p999"}
    shown = output("pmem", "bench", SIM, "--seconds", "0.1")
    assert all(word in shown for word in ("flushes of the device", "1 thread\n", "p99.9"))
    assert_fails(run("pmem", "bench", SIM, "--bs", "1M"), 2, "--bs")


def test_another_device_is_refused() -> None:
    assert_fails(run("pmem", "info", "sim:edu"), 1, "no virtio device")
