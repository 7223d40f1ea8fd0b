"""What verdict a stream of accesses gets."""

from __future__ import annotations

import pytest

from pymmio.check.accessors.verdict import Judgement, Touch, Verdict, judge, worst


def read(offset: int, width: int) -> Touch:
    return Touch(offset, width, "read")


def write(offset: int, width: int) -> Touch:
    return Touch(offset, width, "write")


@pytest.mark.parametrize(
    ("touches", "verdict"),
    [
        ([read(8, 4)], Verdict.EXACT),
        ([], Verdict.UNPROVEN),
        ([read(8, 2), read(10, 2)], Verdict.SPLIT),
        ([read(10, 2), read(8, 2)], Verdict.SPLIT),
        ([read(8, 1), read(9, 1), read(10, 1), read(11, 1)], Verdict.SPLIT),
        ([read(8, 8)], Verdict.SPLIT),  # too wide: the neighbour is read too
        ([read(0, 16)], Verdict.SPLIT),
        ([read(8, 4), read(8, 4)], Verdict.REPEATED),
        ([read(8, 4), read(11, 4)], Verdict.REPEATED),  # one byte twice
        ([write(8, 4), read(8, 4)], Verdict.REPEATED),
        ([write(8, 4)], Verdict.REPEATED),  # written where it was to be read
        ([read(8, 2)], Verdict.UNPROVEN),  # the rest came from somewhere else
        ([read(12, 4)], Verdict.UNPROVEN),
    ],
)
def test_a_read_of_four_bytes_at_8(touches: list[Touch], verdict: Verdict) -> None:
    assert judge(touches, 8, 4, "read").verdict is verdict


def test_a_write_that_reads_before_is_repeated_and_says_so() -> None:
    found = judge([read(8, 4), write(8, 4)], 8, 4, "write")
    assert found == Judgement(Verdict.REPEATED, "read 4 at +0, write 4 at +0")


def test_an_unknown_width_alone_proves_nothing() -> None:
    found = judge([Touch(8, 1, "write", "masked")], 8, 1, "write")
    assert found == Judgement(Verdict.UNPROVEN, "masked")


def test_an_unknown_width_before_a_good_write_is_a_second_write() -> None:
    found = judge([Touch(8, 1, "write", "masked"), write(8, 4)], 8, 4, "write")
    assert found == Judgement(Verdict.REPEATED, "write some at +0, write 4 at +0")


def test_what_was_seen_wrong_is_worse_than_what_was_not_seen() -> None:
    each = [Judgement(verdict) for verdict in Verdict]
    assert worst(each).verdict is Verdict.REPEATED
    assert worst([Judgement(Verdict.EXACT), Judgement(Verdict.UNPROVEN)]).verdict is (
        Verdict.UNPROVEN
    )
    assert worst([Judgement(Verdict.UNPROVEN), Judgement(Verdict.TORN)]).verdict is Verdict.TORN


def test_nothing_at_all_is_unproven() -> None:
    assert worst([]).verdict is Verdict.UNPROVEN
