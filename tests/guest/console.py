"""Follow a guest's console: what is running, until when it may, and whether the kernel died."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from tests.guest.agent import EVENT_MARK
from tests.guest.process import LineProcess

PANIC = "Kernel panic - not syncing"
# A panicked kernel still prints its stack; panic=-1 then ends QEMU.
PANIC_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Ending:
    """How the output ended; ``reason`` is empty when the machine ended by itself."""

    reason: str = ""


class Console:
    """The lines of one run, and the deadline that they imply.

    The deadline moves with the agent's events: until the first one a boot may take
    ``boot_timeout_s``, afterwards each case its own time and ``grace_s``.
    """

    def __init__(
        self,
        boot_timeout_s: float,
        grace_s: float,
        case_timeouts_s: Mapping[str, float],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.lines: list[str] = []
        self.running = ""
        self._clock = clock
        self._grace_s = grace_s
        self._case_timeouts_s = case_timeouts_s
        self._longest_s = max(case_timeouts_s.values(), default=0.0)
        self._panicked = False
        self._stage = f"the agent did not report within {boot_timeout_s:g} s of the start"
        self.deadline = clock() + boot_timeout_s

    def feed(self, line: str) -> None:
        """Take in one line."""
        self.lines.append(line)
        if PANIC in line and not self._panicked:
            self._panicked = True
            self.deadline = self._clock() + PANIC_TIMEOUT_S
        _, mark, text = line.partition(EVENT_MARK)
        if mark and not self._panicked:
            try:
                event = json.loads(text)
                self._advance(event["event"], event.get("id", ""))
            except (ValueError, LookupError, TypeError):
                # A kernel message broke the line: the next event moves the deadline.
                return

    def _advance(self, event: str, case_id: str) -> None:
        self.running = case_id if event == "start" else ""
        allowed_s = self._case_timeouts_s.get(self.running, self._longest_s) + self._grace_s
        self.deadline = self._clock() + allowed_s
        after = f"{event} of {case_id}" if case_id else event
        self._stage = f"no sign of life for {allowed_s:g} s after: {after}"

    def follow(self, process: LineProcess) -> Ending:
        """Read until the output ends or the deadline passes; the caller ends the process."""
        while (lines := process.lines(self.deadline - self._clock())) is not None:
            for line in lines:
                self.feed(line)
            if self._clock() > self.deadline:
                if process.partial:
                    self.feed(process.partial)
                return Ending("the kernel panicked" if self._panicked else self._stage)
        return Ending("the kernel panicked" if self._panicked else "")
