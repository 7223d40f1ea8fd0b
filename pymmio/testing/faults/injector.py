"""Decide event by event what goes wrong, and remember it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pymmio.errors import BadArgument
from pymmio.testing.faults.event import Event
from pymmio.testing.faults.fault import Fault, StatefulPredicate, Tracker

__all__ = ["FaultPlan", "Injected", "Injector"]


class FaultPlan:
    """What shall go wrong: faults, and the seed of those that have a probability.

    The same plan spoils the same events as long as they come in the same order, which several
    threads of a driver may change.  A plan has no state: use it as often as you like.
    """

    def __init__(self, *faults: Fault, seed: int = 0) -> None:
        if strange := [one for one in faults if not isinstance(one, Fault)]:
            raise BadArgument(f"{strange[0]!r} is no Fault", hint="Make each as Fault.ones(...)")
        self.faults = tuple(faults)
        self.seed = seed

    @property
    def needs_model(self) -> bool:
        """Whether only a device model shows what some of it is about."""
        return any(fault.needs_model for fault in self.faults)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FaultPlan):
            return NotImplemented
        return (self.faults, self.seed) == (other.faults, other.seed)

    def __hash__(self) -> int:
        return hash((self.faults, self.seed))

    def __repr__(self) -> str:
        parts = [*map(repr, self.faults), *([f"seed={self.seed}"] if self.seed else [])]
        return f"FaultPlan({', '.join(parts)})"


@dataclass(slots=True)
class Injected:
    """A fault that happened: its number, what was spoiled.

    ``outcome`` is filled in when something comes of it later, such as a late write that the
    IOMMU refused.
    """

    number: int
    fault: Fault
    event: Event
    outcome: str = ""
    _tracker: Tracker | None = None
    _epoch: int = 0

    @property
    def is_stale(self) -> bool:
        """Whether the device forgot about it since, by a reset of its own."""
        return self._tracker is not None and self._tracker.epoch != self._epoch

    def __str__(self) -> str:
        outcome = f" ({self.outcome})" if self.outcome else ""
        return f"{self.number}: {self.fault!r} at {self.event}{outcome}"


class _Rule:
    def __init__(self, fault: Fault, seed: str, tracker: Tracker | None) -> None:
        self.fault = fault
        self.seen = 0
        self.done = 0
        self.tracker = tracker
        self._random = random.Random(seed)

    def fires(self, event: Event) -> bool:
        fault = self.fault
        if not fault.matches(event) or not self._holds(event):
            return False
        self.seen += 1
        if self.seen <= fault.after or (fault.count is not None and self.done >= fault.count):
            return False
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        self.done += 1
        return True

    def _holds(self, event: Event) -> bool:
        when = self.fault.when
        if when is None:
            return True
        if isinstance(when, StatefulPredicate):
            assert self.tracker is not None
            return when.holds(event, self.tracker)
        return when(event)


class Injector:
    """A plan at work on one device.  Safe for threads.

    ``log`` has all that was injected, in order.  ``off()`` lets everything pass until ``on()``;
    nothing is counted meanwhile.  ``add`` brings further faults while the driver runs.
    """

    def __init__(self, plan: FaultPlan, *, armed: bool = True) -> None:
        self.plan = plan
        self.log: list[Injected] = []
        self.is_removed = False
        self.reads_when_removed = "ones"
        self._armed = armed
        self._lock = threading.RLock()
        self._number = 0
        self._release: Callable[[], int] = lambda: 0
        self._trackers: dict[type[Tracker], Tracker] = {}
        self._rules = [self._rule(fault) for fault in plan.faults]

    def _rule(self, fault: Fault) -> _Rule:
        self._number += 1
        tracker = None
        if isinstance(fault.when, StatefulPredicate):
            tracker = self.track(fault.when.new_tracker())
        return _Rule(fault, f"{self.plan.seed}/{self._number}", tracker)

    def track(self, tracker: Tracker) -> Tracker:
        """Let ``tracker`` see all events from now on; return the one of its type if there is one.

        For faults that are added later and need to know what was before.
        """
        with self._lock:
            return self._trackers.setdefault(type(tracker), tracker)

    @property
    def armed(self) -> bool:
        """Whether faults are injected now."""
        return self._armed

    def on(self) -> None:
        """Inject faults from now on."""
        self._armed = True

    def off(self) -> None:
        """Inject nothing until :meth:`on`.  A device that was removed stays away."""
        self._armed = False

    def add(self, *faults: Fault) -> None:
        """Let these go wrong too, counted from now on."""
        with self._lock:
            self._rules += [self._rule(fault) for fault in faults]

    def clear(self) -> None:
        """Forget all faults that have not happened yet."""
        with self._lock:
            self._rules = []

    def release(self) -> int:
        """Let everything that is late come now; return how much that was."""
        return self._release()

    def on_release(self, release: Callable[[], int]) -> None:
        """Not for callers: who keeps what is late."""
        self._release = release

    def happened(self, *whats: str) -> list[Injected]:
        """Return what of the log is of these kinds, such as "irq_lost"; all without any."""
        return [one for one in list(self.log) if not whats or one.fault.what in whats]

    def decide(self, event: Event) -> list[Injected]:
        """Return what goes wrong with an event, and log it."""
        with self._lock:
            for tracker in self._trackers.values():
                tracker.observe(event)
            if not self._armed:
                return []
            found = []
            for rule in self._rules:
                if rule.fires(event):
                    epoch = 0 if rule.tracker is None else rule.tracker.epoch
                    number = len(self.log)
                    injected = Injected(number, rule.fault, event, "", rule.tracker, epoch)
                    self.log.append(injected)
                    found.append(injected)
            return found

    def observe(self, event: Event) -> None:
        """Show an event to those who watch; nothing can go wrong with it."""
        with self._lock:
            for tracker in self._trackers.values():
                tracker.observe(event)

    def text(self) -> str:
        """Return the log as lines."""
        return "\n".join(map(str, list(self.log)))

    def __repr__(self) -> str:
        state = "" if self._armed else ", off"
        return f"<Injector of {self.plan!r}: {len(self.log)} injected{state}>"
