"""When nothing torn counts, and what verdict the parts make."""

from __future__ import annotations

import pytest

from pymmio.check.accessors.dynamic import Case, Observed, Tearing
from pymmio.check.accessors.row import combine, judge_tearing
from pymmio.check.accessors.verdict import Judgement, Verdict

EXACT = Judgement(Verdict.EXACT)
READ = Case("x", 8, "read")


def tearing(
    rounds: int = 9000, changes: int = 5000, torn: int = 0, *, known: bool = True
) -> Judgement:
    observed = Observed(tearing=Tearing(rounds, changes, torn))
    return judge_tearing(READ, observed, EXACT, is_known_torn=known)


def test_nothing_torn_counts_beside_what_was_torn() -> None:
    assert tearing() == EXACT


def test_nothing_torn_does_not_count_where_nothing_could_be_seen() -> None:
    found = tearing(known=False)
    assert found.verdict is Verdict.UNPROVEN
    assert "known" in found.detail


def test_one_torn_value_is_torn_whatever_else() -> None:
    assert tearing(torn=1).verdict is Verdict.TORN
    assert tearing(torn=1, known=False).verdict is Verdict.TORN
    assert tearing(torn=1, changes=1).verdict is Verdict.TORN


def test_a_writer_that_did_not_run_proves_nothing() -> None:
    assert tearing(changes=3) == Judgement(Verdict.UNPROVEN, "only 3 changes were seen")


def test_no_run_proves_nothing() -> None:
    found = judge_tearing(READ, Observed(tearing_error="broken"), EXACT, is_known_torn=True)
    assert found == Judgement(Verdict.UNPROVEN, "broken")


@pytest.mark.parametrize("verdict", [Verdict.SPLIT, Verdict.REPEATED])
def test_several_accesses_are_not_atomic_for_once_not_being_torn(verdict: Verdict) -> None:
    observed = Observed(tearing=Tearing(9000, 5000, 0))
    found = judge_tearing(READ, observed, Judgement(verdict), is_known_torn=True)
    assert found.verdict is Verdict.UNPROVEN


def test_a_byte_has_no_parts() -> None:
    case = Case("x", 1, "read")
    assert judge_tearing(case, Observed(), EXACT, is_known_torn=False) == EXACT


@pytest.mark.parametrize("missing", ["static", "dynamic", "atomic"])
@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.EXACT])
def test_exact_takes_all_three(missing: str, verdict: Verdict) -> None:
    parts = dict.fromkeys(("static", "dynamic", "atomic"), EXACT)
    row = combine(READ, "z", **{**parts, missing: Judgement(verdict, "why")})
    assert row.verdict is verdict
    assert row.detail == f"{missing}: why"
    assert combine(READ, "z", **parts).verdict is Verdict.EXACT


def test_a_row_is_told_as_scripts_expect() -> None:
    row = combine(READ, "z", static=EXACT, dynamic=EXACT, atomic=Judgement(Verdict.TORN))
    assert row.as_dict() == {
        "subject": "x",
        "arch": "z",
        "width": 8,
        "direction": "read",
        "static": "exact",
        "dynamic": "exact",
        "atomic": "torn",
        "verdict": "torn",
        "detail": "",
        "control": False,
    }
