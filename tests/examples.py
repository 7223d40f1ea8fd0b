"""How many examples Hypothesis draws where a test wants another number than most."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

USUAL = 100
"""Examples of a test that says nothing, in the profiles of tests/conftest.py for this machine."""
LEAST = 10


def examples(count: int, **others: Any) -> settings:
    """Return settings for ``count`` examples; in proportion fewer under emulation, LEAST at least.

    ``others`` are further settings.
    """
    profile = settings().max_examples
    return settings(max_examples=max(LEAST, count * profile // USUAL), deadline=None, **others)
