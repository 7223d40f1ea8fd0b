"""The table of review points names tests that exist, one for each point at least."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "pmem-review-points.rst"
NAMED = re.compile(r"``(tests/[\w/]+\.py)::(\w+)``")
ROWS = PAGE.read_text().split("\n   * - ")[1:]


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE.read_text()))))
def test_each_named_test_exists(path: str, name: str) -> None:
    file = ROOT / path
    assert file.is_file(), path
    assert re.search(rf"^ *(async )?def {name}\(", file.read_text(), re.MULTILINE)
    assert name.startswith(("test_", "case_"))


def test_each_point_has_a_test() -> None:
    points = [row for row in ROWS if not row.startswith("point\n")]
    assert len(points) >= 30
    assert not [row.partition("\n")[0] for row in points if not NAMED.search(row)]
