"""Interleaved timing: every subject runs in every round, medians and ratios are printed."""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 15


@dataclass(frozen=True)
class Subject:
    """A statement for timeit, and the names that it uses."""

    statement: str
    names: Mapping[str, object]


def interleaved(subjects: Mapping[str, Subject], *, calls: int) -> dict[str, float]:
    """Return the median seconds of one call for each subject.

    The subjects take turns, so that a busy machine slows all of them.
    """
    timers = {
        name: timeit.Timer(subject.statement, globals=dict(subject.names))
        for name, subject in subjects.items()
    }
    seen: dict[str, list[float]] = {name: [] for name in timers}
    for timer in timers.values():
        timer.timeit(calls // 10)  # warm
    for _ in range(ROUNDS):
        for name, timer in timers.items():
            seen[name].append(timer.timeit(calls) / calls)
    return {name: statistics.median(times) for name, times in seen.items()}


def table(title: str, times: Mapping[str, float], base: str) -> None:
    """Print nanoseconds and the ratio to ``base``."""
    print(f"\n{title}  (median of {ROUNDS} interleaved rounds)")
    width = max(map(len, times))
    for name, seconds in times.items():
        ratio = seconds / times[base]
        print(f"  {name:<{width}}  {seconds * 1e9:9.1f} ns   {ratio:6.2f} x {base}")


def turns(subjects: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each run of each subject; they take turns."""
    seen: dict[str, list[float]] = {name: [] for name in subjects}
    for run in subjects.values():
        run()  # warm
    for _ in range(rounds):
        for name, run in subjects.items():
            start = time.perf_counter()
            run()
            seen[name].append(time.perf_counter() - start)
    return seen
