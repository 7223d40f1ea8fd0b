"""A line of the report: the parts of a proof, and the verdict that they make together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pymmio.check.accessors.dynamic import Case, Observed
from pymmio.check.accessors.verdict import Direction, Judgement, Verdict, worst

__all__ = ["Row", "combine", "judge_tearing"]

ENOUGH_CHANGES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A subject, width in bytes and direction, and the verdicts.

    ``detail`` says of what is not exact what was seen, or why nothing could be shown.
    ``is_control``: the verdict was known beforehand.  ``tearing`` counts accesses (``rounds``),
    values that changed (``changes``) and values that were neither pattern (``torn``).
    """

    subject: str
    arch: str
    width: int
    direction: Direction
    static: Verdict
    dynamic: Verdict
    atomic: Verdict
    verdict: Verdict
    detail: str = ""
    is_control: bool = False
    tearing: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "subject": self.subject,
            "arch": self.arch,
            "width": self.width,
            "direction": self.direction,
            "static": self.static.value,
            "dynamic": self.dynamic.value,
            "atomic": self.atomic.value,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "control": self.is_control,
            **({"tearing": self.tearing} if self.tearing else {}),
        }


def combine(
    case: Case,
    arch: str,
    *,
    static: Judgement,
    dynamic: Judgement,
    atomic: Judgement,
    is_control: bool = False,
    observed: Observed | None = None,
) -> Row:
    """Make a row: exact takes all three; a fault that was seen is told before what is missing."""
    parts = {"static": static, "dynamic": dynamic, "atomic": atomic}
    verdict = worst(parts.values()).verdict
    names_of: dict[str, list[str]] = {}
    for name, part in parts.items():
        if part.verdict is verdict and verdict is not Verdict.EXACT and part.detail:
            names_of.setdefault(part.detail, []).append(name)
    said = "; ".join(f"{', '.join(names)}: {said}" for said, names in names_of.items())
    if verdict is Verdict.EXACT and static.detail:
        said = f"static: {static.detail}"
    tearing = observed.tearing if observed else None
    return Row(
        subject=case.subject,
        arch=arch,
        width=case.width,
        direction=case.direction,
        static=static.verdict,
        dynamic=dynamic.verdict,
        atomic=atomic.verdict,
        verdict=verdict,
        detail=said,
        is_control=is_control,
        tearing={
            "rounds": tearing.rounds,
            "changes": tearing.changes,
            "torn": tearing.torn,
        }
        if tearing
        else {},
    )


def judge_tearing(
    case: Case, observed: Observed, dynamic: Judgement, *, is_known_torn: bool
) -> Judgement:
    """Judge single-copy atomicity: nothing torn counts only beside a subject that was torn.

    Several accesses that were not torn in this run can be torn in the next one.
    """
    if case.width == 1:
        return Judgement(Verdict.EXACT)  # one byte has no parts
    if observed.tearing is None:
        return Judgement(Verdict.UNPROVEN, observed.tearing_error or "not tried at this width")
    seen = observed.tearing
    if seen.torn:
        return Judgement(Verdict.TORN, f"{seen.torn} torn values among {seen.changes} changes")
    if dynamic.verdict in (Verdict.SPLIT, Verdict.REPEATED):
        return Judgement(Verdict.UNPROVEN, "several accesses, not torn in this run")
    if not is_known_torn:
        return Judgement(
            Verdict.UNPROVEN, "nothing torn, but neither was the subject that is known to be"
        )
    if seen.changes < ENOUGH_CHANGES:
        return Judgement(Verdict.UNPROVEN, f"only {seen.changes} changes were seen")
    return Judgement(Verdict.EXACT)
