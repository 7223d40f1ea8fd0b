"""Latency histograms in few buckets, with bounds that people can read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pymmio.errors import BadArgument

__all__ = ["Bucket", "log_buckets"]

# Lower bounds within a decade, from fine to coarse.
_SERIES: tuple[tuple[float, ...], ...] = (
    (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many commands took at least ``low_ns`` and less than ``high_ns`` nanoseconds."""

    low_ns: float
    high_ns: float
    count: int


def log_buckets(histogram: Sequence[tuple[int, int]], most: int) -> tuple[Bucket, ...]:
    """Put (latency in ns, count) into at most ``most`` buckets of about the same ratio.

    The finest series of round bounds is taken that does with so many, from the shortest latency
    to the longest; empty buckets between them are there too.  Raises BadArgument for less than
    16, which any latencies fit into.
    """
    if most < 16:
        raise BadArgument(f"log_buckets: most={most}", hint="Give 16 or more")
    used = [(max(1, latency), count) for latency, count in histogram if count]
    if not used:
        return ()
    shortest, longest = min(used)[0], max(used)[0]
    for series in _SERIES:
        bounds = list(_bounds(series, shortest, longest))
        if len(bounds) - 1 <= most:
            break
    return tuple(_fill(bounds, used))


def _bounds(series: Iterable[float], shortest: int, longest: int) -> Iterator[float]:
    """Give bounds, from the last one up to ``shortest`` to the first above ``longest``."""
    first = 10.0 ** math.floor(math.log10(shortest))
    steps = [
        round(first * 10.0**decade * step, 3)  # powers of ten are not exact
        for decade in range(math.ceil(math.log10(longest / first)) + 2)
        for step in series
    ]
    begin = max(index for index, bound in enumerate(steps) if bound <= shortest)
    for bound in steps[begin:]:
        yield bound
        if bound > longest:
            return


def _fill(bounds: Sequence[float], used: Sequence[tuple[int, int]]) -> Iterator[Bucket]:
    for low, high in itertools.pairwise(bounds):
        yield Bucket(low, high, sum(count for value, count in used if low <= value < high))
