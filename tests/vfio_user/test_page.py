"""The page of findings says what the cases see: its tables are those of the presets and cases."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pymmio.check.rules import Expectation, preset
from tests.vfio_user.cases.case_rules import MEMCPY

PAGE = Path(__file__).resolve().parents[2] / "docs/access-findings.rst"
NUMBERS = {"four": 4, "eight": 8}
CELL = 16

ROWS = re.findall(
    r"^(\d) at (\+\d|0x\w+) +((?:\d, )*\d) {2,}(\S.*)$", PAGE.read_text(), re.MULTILINE
)
COPIES = re.findall(r"^   (\d+) {2,}((?:\d at \+\d(?:, )?)+)$", PAGE.read_text(), re.MULTILINE)


def pieces(text: str) -> list[int]:
    """Read ``1, 2, 1`` or ``four of 2``."""
    if found := re.fullmatch(r"(\w+) of (\d)", text):
        return [int(found[2])] * NUMBERS[found[1]]
    return [int(word) for word in text.split(", ")]


def expected(rule: str, width: int, offset: int) -> list[int]:
    """Return the widths of the only stream that the preset has there."""
    cells = {cell.base: cell for cell in preset(rule).cells}
    cell = cells[offset // CELL * CELL]
    found: Expectation = cell.reads.expectations[width, offset % CELL]
    assert found == cell.writes.expectations[width, offset % CELL]
    (stream,) = found.streams
    return [size for _, size in stream]


@pytest.mark.parametrize(("width", "place", "by_qtest", "by_tcg"), ROWS)
def test_rows_are_those_of_the_presets_that_the_runs_keep(
    width: str, place: str, by_qtest: str, by_tcg: str
) -> None:
    offset = int(place, 0)
    assert pieces(by_qtest) == expected("qemu-vfio-region-ops", int(width), offset)
    assert pieces(by_tcg) == expected("qemu-vfio-region-ops-tcg", int(width), offset)


def test_copies_are_those_of_the_cases() -> None:
    said = {
        int(size): tuple(
            (int(at), int(width)) for width, at in re.findall(r"(\d) at \+(\d)", accesses)
        )
        for size, accesses in COPIES
    }
    assert said == MEMCPY


def test_no_row_was_overlooked() -> None:
    assert len(ROWS) == 9
    assert len(COPIES) == len(MEMCPY)
