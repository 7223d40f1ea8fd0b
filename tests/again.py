"""Tests that failed, to be run once more: what a busy machine did to them is not in them."""

from __future__ import annotations

import json
from pathlib import Path

TESTS_FAILED = 1  # pytest's status
MOST = 3
"""Tests of a run that are run once more when they fail; more are no accident."""


def remembering(cache: Path) -> list[str]:
    """Return pytest's arguments for a run that remembers in ``cache`` which tests failed."""
    return ["-o", f"cache_dir={cache}"]


def forget(cache: Path) -> None:
    """Have the next run begin with nothing that failed."""
    _file(cache).unlink(missing_ok=True)


def worth_another_run(status: int | None, cache: Path) -> list[str]:
    """Return the tests that failed in a run that ended with ``status``.

    Nothing where they are many, or where something else went wrong.
    """
    if status != TESTS_FAILED:
        return []
    try:
        names = list(json.loads(_file(cache).read_text()))
    except (OSError, ValueError):
        return []
    are_tests = all("::" in name for name in names)  # a file alone could not be collected
    return names if are_tests and len(names) <= MOST else []


def _file(cache: Path) -> Path:
    return cache / "v/cache/lastfailed"
