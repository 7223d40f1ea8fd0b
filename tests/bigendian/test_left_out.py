"""What the big-endian run leaves out exists, so that the list cannot rot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bigendian.plugin import LEFT_OUT, LEFT_OUT_OF_WAYS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(LEFT_OUT | LEFT_OUT_OF_WAYS))
def test_each_name_is_that_of_a_test(name: str) -> None:
    path, *inside = name.split("::")
    assert (ROOT / path).exists()
    text = (ROOT / path).read_text() if inside else ""
    for part in inside:
        assert re.search(rf"^\s*(async )?(def|class) {part}\b", text, re.MULTILINE), part


@pytest.mark.parametrize("reason", sorted({*LEFT_OUT.values(), *LEFT_OUT_OF_WAYS.values()}))
def test_each_reason_says_something(reason: str) -> None:
    assert len(reason) > 20
