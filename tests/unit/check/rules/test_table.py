"""The notation of the tables."""

from __future__ import annotations

import pytest

from pymmio.check.rules import Expectation, Table
from pymmio.errors import DeclarationError

HEAD = "w " + " ".join(map(str, range(16)))


@pytest.mark.parametrize(
    ("text", "width", "streams"),
    [
        ("4", 4, (((0, 4),),)),
        ("121", 4, (((0, 1), (1, 2), (3, 1)),)),
        ("44r", 8, (((4, 4), (0, 4)),)),
        ("1*8", 8, (tuple((i, 1) for i in range(8)),)),
        ("8|44|-", 8, (((0, 8),), ((0, 4), (4, 4)))),
        ("-", 3, ()),
        ("~", 3, ()),
    ],
)
def test_notation_is_read(text, width, streams):
    assert Expectation.parse(text, width).streams == streams


def test_refusal_may_be_one_of_several():
    assert Expectation.parse("2|-", 2).may_refuse
    assert not Expectation.parse("2", 2).may_refuse
    assert Expectation.parse("~", 2).is_open
    assert not Expectation.parse("-", 2).is_open


@pytest.mark.parametrize("text", ["22", "3", "", "x", "4r4", "~|4", "1*4", "1*x", "4+4"])
def test_what_is_not_the_width_is_refused(text):
    with pytest.raises(DeclarationError):
        Expectation.parse(text, 3)


def test_a_table_has_a_line_for_each_width_that_is_asked_for():
    table = Table(f"{HEAD}\n1 {'1 ' * 16}\n2 {'2 11 ' * 8}")
    assert table.widths == (1, 2)
    assert table.expectations[2, 15].text == "11"


@pytest.mark.parametrize(
    "text",
    ["w 0 1 2\n1 1 1 1", f"{HEAD}\n1 1 1", f"{HEAD}\n9 {'- ' * 16}"],
    ids=["head", "columns", "width"],
)
def test_a_table_that_is_not_whole_is_refused(text):
    with pytest.raises(DeclarationError):
        Table(text)
