"""Latencies as bars in the terminal: log-scaled buckets, one a line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pymmio.cli.output import can_draw, print_lines
from pymmio.cli.sizes import duration_text

if TYPE_CHECKING:
    from rich.text import Text

    from pymmio_drivers.nvme import Bucket, Measurement

__all__ = ["show_histogram"]

_MOST = 20
_EIGHTHS = "▏▎▍▌▋▊▉█"
_LONGEST_BAR = 60
_MARK_WIDTH = len("  p99, p99.9")


def show_histogram(figures: Measurement, *, width: int | None = None) -> None:
    """Print how many commands took how long, with the place of the percentiles.

    ``width`` is the terminal's by default.
    """
    from pymmio_drivers.nvme import log_buckets

    buckets = log_buckets(figures.histogram, _MOST)
    if buckets:
        columns = width or shutil.get_terminal_size().columns
        print_lines(_lines(buckets, _marks(figures), columns), title="latencies")


def _marks(figures: Measurement) -> dict[str, float]:
    """Return the percentiles in nanoseconds; they are lower bounds of finer buckets."""
    lat = figures.lat_us
    return {"p50": lat.p50 * 1000, "p99": lat.p99 * 1000, "p99.9": lat.p999 * 1000}


def _lines(buckets: Sequence[Bucket], marks: dict[str, float], columns: int) -> Iterator[Text]:
    from rich.text import Text

    total, highest = sum(one.count for one in buckets), max(one.count for one in buckets)
    bounds = [f"{_time(one.low_ns)} - {_time(one.high_ns)}" for one in buckets]
    counts = [f"{one.count:,}" for one in buckets]
    label, number = max(map(len, bounds)), max(map(len, counts))
    taken = label + number + len("  100.00 %  ") + 2 + _MARK_WIDTH
    room = max(8, min(_LONGEST_BAR, columns - taken))
    draws = can_draw()
    for one, bound, count in zip(buckets, bounds, counts, strict=True):
        here = [name for name, at in marks.items() if one.low_ns <= at < one.high_ns]
        line = Text(f"{bound:>{label}}  ", no_wrap=True, overflow="crop")
        line.append(f"{count:>{number}}")
        line.append(f"{100 * one.count / total:8.2f} %  ", style="dim")
        bar = _bar(one.count / highest, room, draws)
        line.append(f"{bar:<{room}}" if here else bar, style="cyan")
        line.append(f"  {', '.join(here)}" if here else "", style="bold")
        yield line


def _bar(share: float, room: int, draws: bool) -> str:
    """Return a bar; what is not 0 is seen."""
    if not share:
        return ""
    if not draws:
        return "#" * max(1, round(share * room))
    eighths = max(1, round(share * room * 8))
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


def _time(nanoseconds: float) -> str:
    return duration_text(nanoseconds / 1000)
