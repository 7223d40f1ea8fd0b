"""Run checks and say what came out."""

from __future__ import annotations

import enum
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pymmio.testing.contract.check import Check, ContractBroken, registered
from pymmio.testing.contract.devices import DEVICES
from pymmio.testing.contract.subject import Lack, Subject

__all__ = ["Outcome", "Verdict", "checks", "examine", "judge"]


class Outcome(enum.StrEnum):
    """How a subject stands to a promise."""

    KEPT = "kept"
    BROKEN = "broken"
    EXCEPTED = "excepted"  #: not promised, with a reason, and not kept
    HOLDS = "holds"  #: not promised, and kept all the same
    NOT_ASKED = "not asked"  #: the device cannot show it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out of one check; ``error`` is what it raised."""

    check: Check
    outcome: Outcome
    lack: Lack | None = None
    error: BaseException | None = None

    @property
    def detail(self) -> str:
        """What was seen, for people; empty where the promise is kept."""
        if self.outcome is Outcome.EXCEPTED and self.lack is not None:
            return self.lack.reason
        if self.outcome is Outcome.HOLDS and self.lack is not None:
            return f"is kept, although {self.lack.reason}"
        if self.error is None:
            return ""
        last = traceback.extract_tb(self.error.__traceback__)[-1:]
        place = f" ({last[0].name}, line {last[0].lineno})" if last else ""
        return f"{type(self.error).__name__}: {self.error}{place}"

    def raise_if_bad(self) -> None:
        """Raise what shows a broken promise, or ContractBroken for one that holds."""
        if self.outcome is Outcome.BROKEN and self.error is not None:
            raise self.error
        if self.outcome is Outcome.HOLDS and self.lack is not None and not self.lack.sometimes:
            raise ContractBroken(
                f"{self.check.name} {self.detail}: take it from the subject's lacks"
            )


def checks(device: str | None = None) -> list[Check]:
    """Return all checks, or those that a kind of device can show.

    Those for removal and sharing are among them: a subject without ``remove`` or ``other`` is
    not asked.
    """
    if device is None:
        return list(registered)
    missing = frozenset().union(*(kind.abilities for kind in DEVICES.values()))
    missing -= DEVICES[device].abilities
    return [one for one in registered if not one.needs & missing]


def judge(check: Check, subject: Subject) -> Verdict:
    """Ask one promise of a subject; raises only what is no Exception."""
    if not check.needs <= subject.abilities:
        return Verdict(check, Outcome.NOT_ASKED)
    lack = subject.lack(check)
    if lack is not None and lack.untried:
        return Verdict(check, Outcome.EXCEPTED, lack)
    try:
        check.function(subject)
    except Exception as error:
        return Verdict(check, Outcome.BROKEN if lack is None else Outcome.EXCEPTED, lack, error)
    return Verdict(check, Outcome.KEPT if lack is None else Outcome.HOLDS, lack)


def examine(
    subject: Subject,
    wanted: Iterable[Check] | None = None,
    *,
    tell: Callable[[Verdict], object] | None = None,
) -> list[Verdict]:
    """Ask all promises of a subject, or those that are wanted; ``tell`` gets each verdict."""

    def run() -> Iterator[Verdict]:
        for one in checks(subject.device) if wanted is None else wanted:
            verdict = judge(one, subject)
            if tell is not None:
                tell(verdict)
            yield verdict

    return list(run())
