"""Strict replay: each access must be the recorded next one."""

from __future__ import annotations

from pymmio.errors import ReplayIncomplete, ReplayMismatch
from pymmio.handle import CONFIG_REGION
from pymmio.models.replay.player import Player
from pymmio.models.replay.script import (
    Access,
    Gone,
    Interrupt,
    Memory,
    Reset,
    Script,
    Step,
    failure_of,
)

__all__ = ["StrictPlayer"]


class StrictPlayer(Player):
    """Compares each access with the recorded next one, and plays what follows it.

    Reads of configuration space are answered and not compared, and a wait may poll more or less
    often than it did.  After the first difference every access of a BAR raises the same
    exception, and so does closing the device: no recovery of a driver hides it.
    """

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._at = 0
        self._left = 0  #: of the poll that is next
        self._poll: Access | None = None  #: the last one that was answered
        self.failure: ReplayMismatch | None = None

    def start(self) -> None:
        self._go_on()

    def _read(self, index: int, offset: int, width: int) -> int:
        step = self._expect(index, offset, width, None)
        if step.error is not None:
            raise failure_of(step.error)
        return step.value

    def _write(self, index: int, offset: int, width: int, value: int) -> None:
        if index == CONFIG_REGION and self.failure is not None:
            return  # closing: one exception is enough
        step = self._expect(index, offset, width, value)
        if step.error is not None:
            raise failure_of(step.error)

    def _reset(self) -> None:
        self._raise_again()
        step = self._next()
        if not isinstance(step, Reset):
            raise self._mismatch(step, "reset")
        self._pass()
        if step.error is not None:
            raise failure_of(step.error)

    def _expect(self, index: int, offset: int, width: int, value: int | None) -> Access:
        """Return the recorded step for an access: a write of ``value``, None for a read."""
        self._raise_again()
        while True:
            step = self._next()
            if isinstance(step, Access) and self._fits(step, (index, offset, width), value):
                return self._matched(step)
            poll = self._poll
            if poll is None:
                break
            if self._is_more_of_the_poll(step):
                self._pass()  # it polls less often than it did
            elif poll.key == (index, offset, width) and value is None:
                return poll  # it polls more often than it did
            else:
                break
        got = self.script.show(index, offset, width, value is not None, value)
        raise self._mismatch(step, got)

    def _fits(self, step: Access, key: tuple[int, int, int], value: int | None) -> bool:
        if step.key != key or step.is_write != (value is not None):
            return False
        return value is None or self._is_same(step, value)

    def _matched(self, step: Access) -> Access:
        if not step.is_poll:
            self._pass()
            self._poll = None
            return step
        self._left = (step.count if self._poll is not step else self._left) - 1
        self._poll = step
        if not self._left:
            self._pass()
        return step

    def _next(self) -> Access | Reset | None:
        if self._at == len(self.script.steps):
            return None
        step = self.script.steps[self._at]
        assert isinstance(step, Access | Reset)
        return step

    def _pass(self) -> None:
        """Let the next step be over, and play what follows."""
        self._at += 1
        self.config.settle()
        self._go_on()

    def _go_on(self) -> None:
        while self._at < len(self.script.steps):
            step = self.script.steps[self._at]
            if isinstance(step, Memory | Interrupt | Gone):
                self._play(step)
            elif isinstance(step, Access) and step.is_config_read:
                self.config.pass_read(step)
            else:
                return
            self._at += 1

    def ask_gone(self) -> bool:
        """Return whether the recorded device had left; a wait may have polled less by now."""
        with self.lock:
            at = self._at
            while at < len(self.script.steps) and self._is_more_of_the_poll(self.script.steps[at]):
                at += 1
            if at < len(self.script.steps) and isinstance(self.script.steps[at], Gone):
                while not self.is_gone:
                    self._pass()
            return self.is_gone

    def _is_more_of_the_poll(self, step: Step | None) -> bool:
        if self._poll is None or not isinstance(step, Access):
            return False
        return step.is_poll and step.key == self._poll.key

    def _raise_again(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _mismatch(self, expected: Access | Reset | None, got: str) -> ReplayMismatch:
        name = self.script.name
        if expected is None:
            where = f"{name}: the recording ends after line {self._last_line()}"
            message = f"{where}; got {got}"
        else:
            where = f"{name}, line {expected.line}"
            message = f"{where}: expected {self.script.show_step(expected)}, got {got}"
        self.failure = ReplayMismatch(
            message,
            hint="The driver does something else than when it was recorded; mode=tolerant lets it",
        )
        return self.failure

    def _last_line(self) -> int:
        return self.script.steps[-1].line if self.script.steps else 1

    def finish(self) -> None:
        """Raise the first difference; or what is missing."""
        with self.lock:
            self._raise_again()
            while self._is_more_of_the_poll(step := self._next()):
                self._pass()
            if step is None:
                return
            left = [s for s in self.script.steps[self._at :] if isinstance(s, Access | Reset)]
            count = sum(1 for s in left if not (isinstance(s, Access) and s.is_config_read))
            self.failure = ReplayIncomplete(
                f"{self.script.name}, line {step.line}: expected {self.script.show_step(step)},"
                f" got the end: {count} recorded steps were never made",
                hint="Do all that the recorded program did, or use mode=tolerant",
            )
            raise self.failure
