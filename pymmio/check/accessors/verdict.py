"""What was seen of an access, and the verdict on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

__all__ = ["Direction", "Judgement", "Touch", "Verdict", "judge", "worst"]

Direction = Literal["read", "write"]


class Verdict(Enum):
    """How the asked-for access reaches memory.

    ``EXACT`` one access of that width and no other.  ``SPLIT`` accesses of another width:
    pieces, or one that is too wide.  ``REPEATED`` some byte is touched more than once, or read
    where it was to be written.  ``TORN`` one access, but a concurrent writer's value is seen in
    part.  ``UNPROVEN`` nothing of this could be shown.
    """

    EXACT = "exact"
    SPLIT = "split"
    REPEATED = "repeated"
    TORN = "torn"
    UNPROVEN = "unproven"


_WORST_FIRST = (Verdict.REPEATED, Verdict.SPLIT, Verdict.TORN, Verdict.UNPROVEN, Verdict.EXACT)


@dataclass(frozen=True, slots=True)
class Touch:
    """One access of an instruction: ``width`` bytes at ``offset``.

    Where ``unknown`` says why the width is not known, ``width`` is the least that it can be.
    """

    offset: int
    width: int
    direction: Direction
    unknown: str = ""

    def __str__(self) -> str:
        return f"{self.direction} {self.width} at {self.offset:+d}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and, in words, what it rests on."""

    verdict: Verdict
    detail: str = ""


def judge(touches: Sequence[Touch], offset: int, width: int, direction: Direction) -> Judgement:
    """Compare ``touches``, in order, with the one access that was asked for."""
    seen = ", ".join(
        f"{touch.direction} {'some' if touch.unknown else touch.width}"
        f" at {touch.offset - offset:+d}"
        for touch in touches
    )
    if not touches:
        return Judgement(Verdict.UNPROVEN, "no access was seen")
    if list(touches) == [Touch(offset, width, direction)]:
        return Judgement(Verdict.EXACT)
    if any(touch.direction != direction for touch in touches):
        return Judgement(Verdict.REPEATED, seen)
    times = Counter(
        byte for touch in touches for byte in range(touch.offset, touch.offset + touch.width)
    )
    if max(times.values()) > 1:
        return Judgement(Verdict.REPEATED, seen)
    if unknown := next((touch.unknown for touch in touches if touch.unknown), ""):
        return Judgement(Verdict.UNPROVEN, unknown)
    asked = set(range(offset, offset + width))
    if not asked <= set(times):
        return Judgement(Verdict.UNPROVEN, f"only a part was seen: {seen}")
    return Judgement(Verdict.SPLIT, seen)


def worst(judgements: Iterable[Judgement]) -> Judgement:
    """Return the first of the worst; nothing at all is unproven."""
    ranked = sorted(judgements, key=lambda judgement: _WORST_FIRST.index(judgement.verdict))
    return ranked[0] if ranked else Judgement(Verdict.UNPROVEN, "nothing was looked at")
