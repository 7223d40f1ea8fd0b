"""Latencies as bars."""

from __future__ import annotations

import dataclasses

import pytest

from pymmio.cli.nvme import histogram
from pymmio_drivers.nvme import Latency, Measurement
from tests.unit.cli.running import json_of, output, plain, run_on_terminal

BENCH = ("nvme", "bench", "sim:nvme?size=1M", "--seconds", "0.05")


def figures(*counts: tuple[int, int], p50: float = 12, p99: float = 15) -> Measurement:
    return Measurement(
        iops=1.0,
        bandwidth_bytes_s=1.0,
        lat_us=Latency(mean=12, p50=p50, p99=p99, p999=150, max=150),
        errors=0,
        commands=sum(count for _, count in counts),
        seconds=1.0,
        first_error="",
        histogram=counts,
    )


SOME = figures((11_000, 300), (15_000, 699), (150_000, 1))


def shown(capsys: pytest.CaptureFixture[str], one: Measurement, width: int) -> list[str]:
    histogram.show_histogram(one, width=width)
    return capsys.readouterr().out.splitlines()


def test_bars_are_as_long_as_their_share(capsys: pytest.CaptureFixture[str]) -> None:
    title, *lines = shown(capsys, SOME, 200)
    assert title == "latencies"
    assert lines[0].split()[:8] == ["10", "us", "-", "12.5", "us", "300", "30.00", "%"]
    assert lines[1].count("█") == 60
    assert lines[0].count("█") == 60 * 300 // 699
    assert lines[-1].rstrip().endswith("p99.9")
    assert "▏" in lines[-1]


def test_percentiles_stand_at_their_buckets(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, SOME, 80)
    ends = [line.split("  ")[-1].strip() for line in lines]
    assert [end for end in ends if end.startswith("p")] == ["p50", "p99", "p99.9"]
    same = shown(capsys, figures((11_000, 1), p50=11, p99=11), 80)
    assert same[1].endswith("p50, p99")


@pytest.mark.parametrize("width", [80, 100, 250])
def test_it_fits(capsys: pytest.CaptureFixture[str], width: int) -> None:
    huge = figures(*((10**power, 10**9) for power in range(3, 11)), p50=1, p99=1e5)
    lines = shown(capsys, huge, width)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 21


def test_without_characters_for_bars(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histogram, "can_draw", lambda: False)
    lines = shown(capsys, SOME, 80)
    assert "#" in lines[1]
    assert all(line.isascii() for line in lines)


def test_nothing_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, dataclasses.replace(SOME, histogram=()), 80) == []


def test_a_pipe_sees_it_only_when_it_asks() -> None:
    assert "latencies" not in output(*BENCH)
    assert "latencies" in output(*BENCH, "--histogram")


def test_json_has_the_buckets_only_when_it_asks() -> None:
    assert "histogram" not in json_of(*BENCH)
    found = json_of(*BENCH, "--histogram")
    assert sum(count for _, count in found["histogram"]) == found["commands"]


def test_a_terminal_sees_it_unless_told_otherwise() -> None:
    code, text = run_on_terminal(*BENCH)
    assert code == 0
    assert "latencies" in text
    assert "p50" in plain(text).split("latencies")[1]
    assert "latencies" not in run_on_terminal(*BENCH, "--no-histogram")[1]
