"""What the doctor found: one fact about the machine, how good it is, and what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from pymmio.notebook import html_table

__all__ = ["Finding", "Report", "State"]


class State(enum.StrEnum):
    """How good it is."""

    OK = "ok"  #: there, and usable by this user
    WARN = "warn"  #: works with a drawback, or after the next step
    MISSING = "missing"  #: something cannot be done without it
    INFO = "info"  #: a fact, or something that not everybody needs
    UNKNOWN = "unknown"  #: could not be found out


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    ``seen`` is what the machine shows, ``next_step`` what to do, empty where there is nothing
    to do.  ``needed_for`` names the purposes that fail unless the state is OK or WARN: ``vfio``,
    or a device, ``vfio:0000:01:00.0``.
    """

    topic: str
    name: str
    state: State
    seen: str
    next_step: str = ""
    needed_for: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "topic": self.topic,
            "name": self.name,
            "state": str(self.state),
            "seen": self.seen,
            "next_step": self.next_step,
            "needed_for": list(self.needed_for),
        }


class Report(list[Finding]):
    """The findings of all probes, in order of topics; shows as a table in a notebook."""

    def about(self, topic: str) -> Report:
        """Return the findings of one topic."""
        return Report(finding for finding in self if finding.topic == topic)

    def needed_for(self, *purposes: str) -> Report:
        """Return what any of ``purposes`` needs, whatever its state."""
        return Report(finding for finding in self if set(purposes) & set(finding.needed_for))

    @property
    def is_ready(self) -> bool:
        """Whether each finding is OK or WARN; what could not be found out counts as not."""
        return all(finding.state in (State.OK, State.WARN) for finding in self)

    def counts(self) -> dict[State, int]:
        """Return how many findings have each state; those that none has are left out."""
        states = [finding.state for finding in self]
        return {state: states.count(state) for state in State if state in states}

    def _repr_html_(self) -> str:
        return html_table("doctor", _COLUMNS, _rows(self), mono=("name",))


_COLUMNS = ("topic", "name", "state", "seen", "next step")


def _rows(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    return [(f.topic, f.name, str(f.state), f.seen, f.next_step) for f in findings]
