"""The contract of backends: what everything that serves a device must do.

A backend is four Protocols (:mod:`pymmio.handle`); one that does not pass is none.  Its author
runs the suite with pytest::

    @pytest.mark.parametrize("check", contract.checks("edu"), ids=str)
    def test_contract(check: contract.Check) -> None:
        check.run(contract.Subject("mine:device", device="edu"))

or as ``python -m pymmio.testing.contract URI``.  Nothing here imports pytest.
"""

from __future__ import annotations

from pymmio.testing.contract import checks as _checks
from pymmio.testing.contract.check import Ability, Check, ContractBroken, Group
from pymmio.testing.contract.judge import Outcome, Verdict, checks, examine, judge
from pymmio.testing.contract.subject import Lack, Subject

del _checks

__all__ = [
    "Ability",
    "Check",
    "ContractBroken",
    "Group",
    "Lack",
    "Outcome",
    "Subject",
    "Verdict",
    "checks",
    "examine",
    "judge",
]
