"""Numbers on the command line."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymmio.cli import sizes


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("42", 42), ("0x1F", 31), ("0b11", 3), ("0o17", 15), ("1_000", 1000)],
)
def test_numbers(text: str, value: int) -> None:
    assert sizes.number(text) == value
    assert sizes.size(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4K", 4096),
        ("4k", 4096),
        ("64M", 64 << 20),
        ("1G", 1 << 30),
        ("2T", 2 << 40),
        ("4KiB", 4096),
        ("4KB", 4096),
        ("512B", 512),
        (" 1M ", 1 << 20),
        ("010", 10),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert sizes.size(text) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "K", "4X", "0x", "0x10K", "1.5G", "\uff14", "4 4", "ten"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        sizes.size(text)


@pytest.mark.parametrize("text", ["", "-1", "4K", "0x", "1.5", "ten", "-0x10"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        sizes.number(text)


def test_ranges() -> None:
    assert sizes.block_range("0:128K") == (0, 131072)
    assert sizes.block_range("0x10:8") == (16, 8)


@pytest.mark.parametrize("text", ["", "8", "8:", ":8", "0:0", "0:-1", "0:8:8"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        sizes.block_range(text)


@given(st.integers(min_value=0, max_value=1 << 70))
def test_any_number_comes_back(value: int) -> None:
    assert sizes.parse_number(str(value)) == value
    assert sizes.parse_number(hex(value)) == value
    assert sizes.parse_size(hex(value)) == value
    assert sizes.parse_size(f"{value}K") == value * 1024


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (64 << 20, "64 MiB"),
        (1 << 50, "1 PiB"),
        (5000 << 50, "5000 PiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert sizes.size_text(size) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0 B/s"),
        (999, "999 B/s"),
        (1500, "1.5 kB/s"),
        (512e6, "512 MB/s"),
        (7.25e9, "7.25 GB/s"),
    ],
)
def test_rates_for_people(rate: float, text: str) -> None:
    assert sizes.rate_text(rate) == text


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0 ns"),
        (0.87, "870 ns"),
        (12.34, "12.3 us"),
        (999, "999 us"),
        (1050, "1.05 ms"),
        (3e6, "3 s"),
    ],
)
def test_times_for_people(microseconds: float, text: str) -> None:
    assert sizes.duration_text(microseconds) == text


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (0, "0 min"),
        (59, "59 min"),
        (60, "1 h 0 min"),
        (1439, "23 h 59 min"),
        (1440, "1 d 0 h"),
        (10**8, "69,444 d 10 h"),
    ],
)
def test_long_times(minutes: int, text: str) -> None:
    assert sizes.minutes_text(minutes) == text
