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


def remembered_in(arguments: list[str]) -> tuple[list[str], Path | None]:
    """Return pytest's arguments without those of :func:`remembering`, and their cache."""
    match arguments:
        case ["-o", option, *rest] if option.startswith("cache_dir="):
            return rest, Path(option.removeprefix("cache_dir="))
    return arguments, None


def remember(cache: Path, tests: list[str]) -> None:
    """Put down which tests failed, as pytest does."""
    _file(cache).parent.mkdir(parents=True, exist_ok=True)
    _file(cache).write_text(json.dumps(dict.fromkeys(tests, True)))


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
