"""Ask a group of promises at once and fail with all that are broken; for guests."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

from pymmio.testing.contract import Check, ContractBroken, Subject, Verdict, examine
from tests.contract.records import tell

__all__ = ["keeps"]


def keeps(subject: Subject, wanted: Iterable[Check], *, column: str) -> None:
    """Fail unless the subject keeps all of these promises, and no more than it says.

    What came out is written down for ``column`` of the matrix.
    """
    bad: list[Verdict] = []
    for verdict in examine(subject, wanted):
        print(verdict.check.group, verdict.check.name, verdict.outcome, verdict.detail)
        tell(column, subject.device, verdict)
        try:
            verdict.raise_if_bad()
        except Exception as error:
            bad.append(verdict)
            traceback.print_exception(error)
    if bad:
        lines = [f"{verdict.check.name}: {verdict.detail}" for verdict in bad]
        raise ContractBroken(f"{len(bad)} promises are broken:\n" + "\n".join(lines))
