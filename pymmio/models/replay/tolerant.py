"""Tolerant replay: registers answer what they answered at that time, in whatever order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict

from pymmio.handle import CONFIG_REGION
from pymmio.models.replay.player import Player
from pymmio.models.replay.script import (
    Access,
    Gone,
    Interrupt,
    Memory,
    Script,
    accesses,
    failure_of,
)

__all__ = ["TolerantPlayer"]

_NEAR, _FAR = 4, 32
"""How many recorded writes may lie in between: for one with another value, with the same value."""

Key = tuple[int, int, int]


class TolerantPlayer(Player):
    """Goes by the writes: time is the latest recorded write that the driver has made, too.

    A read gives what was recorded between that write and the next one, each value once, then
    the last again: polls may be more or fewer.  A write is the next recorded one of its register
    with its value, or the very next one of its register; those of the register before it are made
    up for.  What the device did after a write follows it.  A write that has no such place near
    the present time is taken and does nothing.
    """

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._reads: dict[Key, list[int]] = defaultdict(list)
        self._writes: dict[Key, list[int]] = defaultdict(list)
        self._next_read: dict[Key, int] = defaultdict(int)
        self._pending: list[int] = []
        self._written: dict[Key, int] = {}
        self._follow: dict[int, list[Memory | Interrupt | Gone]] = defaultdict(list)
        self._now = -1
        for at, step in accesses(script.steps):
            if step.index == CONFIG_REGION:
                if not step.is_write:
                    self.config.pass_read(step)
            elif step.is_write:
                self._writes[step.key].append(at)
                self._pending.append(at)
            else:
                self._reads[step.key].append(at)
        anchor = -1
        for at, one in enumerate(script.steps):
            if isinstance(one, Memory | Interrupt | Gone):
                self._follow[anchor].append(one)
            elif isinstance(one, Access) and one.is_write and one.index != CONFIG_REGION:
                anchor = at

    def start(self) -> None:
        self._play_after(-1)

    def _play_after(self, at: int) -> None:
        for step in self._follow.pop(at, ()):
            self._play(step)

    def _access(self, at: int) -> Access:
        step = self.script.steps[at]
        assert isinstance(step, Access)
        return step

    def _write(self, index: int, offset: int, width: int, value: int) -> None:
        if index == CONFIG_REGION:
            return
        key = index, offset, width
        self._written[key] = value
        mine = self._writes[key]
        chosen = self._place(mine, value)
        if chosen is None:
            return
        made, self._writes[key] = mine[: chosen + 1], mine[chosen + 1 :]
        for at in made:
            self._pending.remove(at)
            self._play_after(at)
        self._now = max(self._now, made[-1])
        step = self._access(made[-1])
        if step.error is not None:
            raise failure_of(step.error)

    def _place(self, mine: list[int], value: int) -> int | None:
        """Return which of a register's writes this one is, None if it is one more."""
        now = bisect_right(self._pending, self._now)
        for index, at in enumerate(mine):
            if bisect_left(self._pending, at) - now > _FAR:
                break
            if self._is_same(self._access(at), value):
                return index
        if mine and bisect_left(self._pending, mine[0]) - now < _NEAR:
            return 0
        return None

    def _read(self, index: int, offset: int, width: int) -> int:
        key = index, offset, width
        places = self._reads[key]
        later = bisect_right(self._pending, self._now)
        end = self._pending[later] if later < len(self._pending) else len(self.script.steps)
        first = max(bisect_right(places, self._now), self._next_read[key])
        stop = bisect_left(places, end)
        if first < stop:
            self._next_read[key] = first + 1
            step = self._access(places[first])
        elif stop:
            step = self._access(places[stop - 1])
        elif places:
            step = self._access(places[0])
        elif key in self._written:
            return self._written[key]
        else:
            raise self._never_read(index, offset, width)
        if step.error is not None:
            raise failure_of(step.error)
        return step.value

    def _reset(self) -> None:
        return

    def finish(self) -> None:
        return
