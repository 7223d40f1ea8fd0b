"""The page of errnos says what the cases see."""

from __future__ import annotations

import re
from pathlib import Path

from tests.s390x.cases.case_errnos import BOTH

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/s390x-errnos.rst"


def test_page_has_the_table_of_the_cases() -> None:
    rows = re.findall(r"^   (\d+), (\d+), (\w+)$", PAGE.read_text(), re.MULTILINE)
    assert {(int(offset), int(length)): answer for offset, length, answer in rows} == BOTH
    assert len(rows) == len(BOTH)
