"""Numbers on the command line: reading them, and writing sizes, rates and times for people."""

from __future__ import annotations

import re

import click

__all__ = [
    "block_range",
    "duration_text",
    "minutes_text",
    "number",
    "parse_number",
    "parse_size",
    "rate_text",
    "size",
    "size_text",
]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d[\d_]*)\s*([KMGT]?)(?:I?B)?", re.ASCII | re.IGNORECASE)


def parse_number(text: str) -> int:
    """Return a number of 0 or more: decimal, 0x…, 0o… or 0b….  Raises ValueError."""
    value = int(text, 0)
    if value < 0 or not text.isascii():
        raise ValueError(f"{text} is no number of 0 or more")
    return value


def parse_size(text: str) -> int:
    """Return a number as parse_number does, or with K, M, G, T (powers of 1024, also KiB, KB)."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return parse_number(text)
    return int(match[1]) * _UNITS[match[2].upper()]


# --- types of parameters: click calls them with what was written ---------------------------


def number(text: str) -> int:
    """Convert a parameter with parse_number; a wrong one is a usage error."""
    try:
        return parse_number(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no number; write 4096 or 0x1000") from None


def size(text: str) -> int:
    """Convert a parameter with parse_size; a wrong one is a usage error."""
    try:
        return parse_size(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no size; write 4096, 0x1000, 4K or 64M") from None


def block_range(text: str) -> tuple[int, int]:
    """Convert a first block and a number of blocks, ``0:131072``."""
    start, _, length = text.partition(":")
    try:
        place = parse_size(start), parse_size(length)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no range; write first block:blocks, such as 0:128K"
        ) from None
    if place[1] == 0:
        raise click.BadParameter(f"{text!r} has no blocks")
    return place


# --- for people ----------------------------------------------------------------------------


def size_text(size_bytes: float) -> str:
    """Return bytes with a binary unit, exact where that is short: 64 MiB, 4 KiB, 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size_bytes < 1024 or unit == "PiB":
            break
        size_bytes /= 1024
    digits = f"{size_bytes:.0f}" if size_bytes == int(size_bytes) else f"{size_bytes:.1f}"
    return f"{digits} {unit}"


def rate_text(bytes_s: float) -> str:
    """Return bytes a second with a decimal unit, as disks are sold: 512 MB/s."""
    for unit in ("B/s", "kB/s", "MB/s", "GB/s"):
        if bytes_s < 1000 or unit == "GB/s":
            break
        bytes_s /= 1000
    return f"{bytes_s:.3g} {unit}" if bytes_s < 100 else f"{bytes_s:.0f} {unit}"


def duration_text(microseconds: float) -> str:
    """Return a time with a fitting unit and three digits: 870 ns, 12.3 us, 1.05 ms."""
    value, unit = microseconds * 1000, "ns"
    for longer in ("us", "ms", "s"):
        if value < 1000:
            break
        value, unit = value / 1000, longer
    return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"


def minutes_text(minutes: int) -> str:
    """Return a long time in its two largest units: 0 min, 3 h 12 min, 71 d 5 h."""
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24:,} d {hours % 24} h"
