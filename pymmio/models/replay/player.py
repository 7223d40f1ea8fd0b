"""What both ways of playing a script have in common."""

from __future__ import annotations

import abc
import threading

from pymmio.errors import ReplayMismatch
from pymmio.handle import CONFIG_REGION
from pymmio.models.replay.config import ReplayConfig
from pymmio.models.replay.host import ReplayDma, ReplayIrq
from pymmio.models.replay.script import Access, Gone, Interrupt, Memory, Script

__all__ = ["Player"]


class Player(abc.ABC):
    """Answers the driver and plays the device.  Calls are made with ``lock`` held."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.lock = threading.RLock()
        self.config = ReplayConfig(script)
        self.dma = ReplayDma(script, self.lock)
        self.irq = ReplayIrq(script, self.lock)
        self.is_gone = False

    @abc.abstractmethod
    def start(self) -> None:
        """Play what the device did before the first access."""

    def read(self, index: int, offset: int, width: int) -> int:
        """Answer one read."""
        with self.lock:
            if index == CONFIG_REGION:
                return self.config.read(offset, width)
            return self._read(index, offset, width)

    def write(self, index: int, offset: int, width: int, value: int) -> None:
        """Take one write."""
        with self.lock:
            if index == CONFIG_REGION:
                self.config.write(offset, width, value)
            self._write(index, offset, width, value)

    def reset(self) -> None:
        """Take a reset."""
        with self.lock:
            self._reset()

    @abc.abstractmethod
    def _read(self, index: int, offset: int, width: int) -> int: ...

    @abc.abstractmethod
    def _write(self, index: int, offset: int, width: int, value: int) -> None: ...

    @abc.abstractmethod
    def _reset(self) -> None: ...

    def ask_gone(self) -> bool:
        """Return whether the recorded device had left by now."""
        return self.is_gone

    @abc.abstractmethod
    def finish(self) -> None:
        """Raise ReplayMismatch where something has gone wrong, or something is missing."""

    def close(self) -> None:
        """Free memory, end threads."""
        self.irq.close()
        self.dma.close()

    def _play(self, step: Memory | Interrupt | Gone) -> None:
        match step:
            case Memory():
                self.dma.put(step)
            case Interrupt():
                self.irq.fire(step)
            case Gone():
                self.is_gone = True

    def _is_same(self, step: Access, value: int) -> bool:
        return value == step.value or value == self.dma.translate(step.value)

    def _never_read(self, index: int, offset: int, width: int) -> ReplayMismatch:
        what = self.script.show(index, offset, width, False, None)
        return ReplayMismatch(
            f"{self.script.name}: the driver makes {what}, and the recording has nothing of it",
            hint="Record again, with a driver that reads it",
        )
