"""What a check is: a promise of every backend, asked of a subject."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymmio.testing.contract.subject import Subject

__all__ = ["Ability", "Check", "ContractBroken", "Group", "check", "registered"]


class ContractBroken(AssertionError):
    """A backend does not do what every backend must do, or more than its subject says."""


class Group(enum.StrEnum):
    """What a promise is about."""

    REGIONS = "regions"
    RULES = "rules"
    DMA = "dma"
    INTERRUPTS = "interrupts"
    RESET = "reset"
    LIFE = "life cycle"
    ERRORS = "errors"
    CONCURRENCY = "concurrency"
    FORK = "fork"
    CLOSING = "close while polling"
    REMOVAL = "removal"
    TRACING = "tracing"
    SHARING = "sharing"


class Ability(enum.StrEnum):
    """What a check needs: of the kind of device, or of the backend.

    A device without one is not asked.  A backend may lack one only with a reason
    (:class:`~pymmio.testing.contract.Subject`, ``lacks``).
    """

    WORK = "work"  #: the device does something that takes a moment and can be polled
    SCRATCH = "scratch"  #: a region that keeps what is written, in any width
    RECORD = "record"  #: the device tells which accesses arrived
    DMA = "dma"  #: the device reads and writes memory
    INTERRUPTS = "interrupts"  #: the device raises interrupts
    INTX = "intx"  #: it raises its pin
    MESSAGES = "messages"  #: it sends MSI or MSI-X messages
    VECTORS = "vectors"  #: it has several MSI-X vectors
    ISOLATION = "isolation"  #: the device reaches nothing that was not mapped for it
    RESET = "reset"  #: the function can be reset
    FAULTS = "faults"  #: an access that nobody answers is reported
    REMOVAL = "removal"  #: the device can be taken away while it is in use
    SHARING = "sharing"  #: two devices can have one address space


Function = Callable[["Subject"], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: its group, what it needs, and the function that asks a subject for it."""

    group: Group
    needs: frozenset[Ability]
    function: Function

    @property
    def name(self) -> str:
        """The promise as one word."""
        return self.function.__name__

    @property
    def promise(self) -> str:
        """The promise for people."""
        text = self.function.__doc__ or self.name.replace("_", " ")
        return " ".join(text.split("\n\n")[0].split())

    def run(self, subject: Subject) -> None:
        """Ask the subject; raise what shows that it does not keep the promise.

        Raises ContractBroken also for a promise that the subject excludes, and keeps.
        """
        from pymmio.testing.contract.judge import judge

        judge(self, subject).raise_if_bad()

    def __str__(self) -> str:
        return self.name


registered: list[Check] = []
"""All checks, in the order of their files."""


def check(group: Group, *needs: Ability) -> Callable[[Function], Function]:
    """Register a function as a check."""

    def register(function: Function) -> Function:
        registered.append(Check(group, frozenset(needs), function))
        return function

    return register


def of_group(group: Group, checks: Collection[Check] | None = None) -> list[Check]:
    """Return the checks of a group."""
    return [one for one in (registered if checks is None else checks) if one.group is group]
