"""A picture of latencies, for ``pymmio nvme bench --plot``.  Needs matplotlib."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pymmio.cli.sizes import duration_text, rate_text

if TYPE_CHECKING:
    from pymmio_drivers.nvme import Measurement

__all__ = ["FORMATS", "draw", "require_matplotlib"]

FORMATS = (".png", ".svg", ".pdf")

_BLUE, _GREY, _RED = "#2f6db3", "#6b7280", "#b3402f"
_STEPS_PER_DECADE = 24


def require_matplotlib(path: Path) -> None:
    """Raise an error unless a picture can be drawn to ``path``; before anything is measured."""
    if path.suffix.lower() not in FORMATS:
        raise click.BadParameter(
            f"{path.name!r} should end in {', '.join(FORMATS)}", param_hint="--plot"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException(
            "--plot needs matplotlib: pip install 'pymmio[plot]'; without it the terminal shows"
            " the histogram"
        )
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}", param_hint="--plot")


def draw(figures: Measurement, path: Path, *, title: str) -> None:
    """Draw latencies on a log scale: how many commands took so long, and how many longer."""
    from matplotlib.figure import Figure  # no pyplot: no windows, no global state
    from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

    times = [max(1, latency) for latency, _ in figures.histogram]
    counts = [count for _, count in figures.histogram]
    total = max(1, sum(counts))
    figure = Figure(figsize=(9, 5.6), dpi=144)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    edges = _edges(min(times, default=1), max(times, default=1))
    shares = [100 * count / total for count in counts]
    top.hist(times, bins=edges, weights=shares, color=_BLUE, alpha=0.9, linewidth=0)
    top.set_ylabel("commands")
    top.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    slower = [100 * rest / total for rest in _slower(counts)]
    bottom.step(times, slower, where="post", color=_BLUE, linewidth=1.6)
    bottom.fill_between(times, slower, 1e-9, step="post", color=_BLUE, alpha=0.15, linewidth=0)
    bottom.set_yscale("log")
    bottom.set_ylim(max(1e-7, 50 / total), 130)
    bottom.set_ylabel("take longer")
    bottom.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    bottom.yaxis.set_minor_formatter(NullFormatter())
    bottom.set_xscale("log")
    bottom.set_xlim(edges[0], edges[-1])
    bottom.set_xlabel("latency")
    formatter = FuncFormatter(lambda value, _: duration_text(value / 1000))
    bottom.xaxis.set_major_formatter(formatter)
    is_narrow = edges[-1] / edges[0] < 100
    few = FuncFormatter(lambda value, _: _few(value, is_narrow))
    bottom.xaxis.set_minor_formatter(few)
    _mark(figures, top, bottom)
    for axes in (top, bottom):
        axes.grid(True, which="major", color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors="#374151", which="both", pad=6)
    bottom.tick_params(axis="x", which="major", length=4)
    bottom.tick_params(axis="x", which="minor", length=4)
    said = f"{figures.iops:,.0f} IOPS, {rate_text(figures.bandwidth_bytes_s)}"
    mean = duration_text(figures.lat_us.mean)
    lines = (
        (title, 51, {"fontsize": 13, "fontweight": "bold"}),
        (
            f"{said}, mean latency {mean}, {figures.commands:,} commands",
            36,
            {"fontsize": 10, "color": _GREY},
        ),
    )
    for text, above, style in lines:  # above the labels of the percentiles
        _write(top, text, 0, above, **style)
    figure.align_ylabels([top, bottom])
    figure.savefig(path)


def _edges(shortest: int, longest: int) -> list[float]:
    """Return bounds of equal ratio that hold all latencies, with some room at both ends."""
    first = math.floor(math.log10(shortest) * _STEPS_PER_DECADE) - 1
    last = math.ceil(math.log10(longest + 1) * _STEPS_PER_DECADE) + 1
    return [10 ** (step / _STEPS_PER_DECADE) for step in range(first, last + 1)]


def _slower(counts: Sequence[int]) -> list[int]:
    """Return how many commands come after each bucket."""
    rest, found = sum(counts), []
    for count in counts:
        rest -= count
        found.append(rest)
    return found


def _few(value: float, is_narrow: bool) -> str:
    """Label 2 and 5 of each decade, or more where there are few decades."""
    lead = value / 10 ** len(str(int(value))) * 10
    wanted = (2, 3, 5, 7) if is_narrow else (2, 5)
    return duration_text(value / 1000) if round(lead, 3) in wanted else ""


def _mark(figures: Measurement, top: Any, bottom: Any) -> None:
    """Draw the percentiles through both parts, their labels above, apart from each other."""
    lat = figures.lat_us
    marks = (("p50", lat.p50), ("p99", lat.p99), ("p99.9", lat.p999))
    low, high = top.get_xlim()
    before, level = -math.inf, 0
    for name, microseconds in marks:
        at = max(1.0, microseconds * 1000)
        if not low <= at <= high:  # nothing was measured
            continue
        for axes in (top, bottom):
            axes.axvline(at, color=_RED, linewidth=1, linestyle=(0, (4, 3)))
        place = math.log(at / low) / math.log(high / low)
        level = level + 1 if place - before < 0.13 else 0
        before = place
        text = f"{name} {duration_text(microseconds)}"
        _write(top, text, place, 3 + 11 * level, ha="center", fontsize=8.5, color=_RED)


def _write(axes: Any, text: str, place: float, above: float, **style: Any) -> None:
    """Write above the axes: at a share of their width, points above their upper edge."""
    where = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(text, xy=(place, 1), xytext=(0, above), **where, **style)
