"""Configuration space of a replay: reads of it are answered wherever they come."""

from __future__ import annotations

from pymmio.handle import CONFIG_REGION
from pymmio.models.replay.script import Access, Script

__all__ = ["ReplayConfig"]

_COMMAND = 0x04


class ReplayConfig:
    """What a read of configuration space gives at each moment of the script.

    ``pending`` has the recorded reads between the last step that was played and the next: the
    first of the same place answers, else what was read or written there last.
    """

    def __init__(self, script: Script) -> None:
        size = next(r.size for r in script.device.regions if r.index == CONFIG_REGION)
        self._bytes = bytearray(max(size, len(script.device.config)))
        self._bytes[: len(script.device.config)] = script.device.config
        self._pending: list[Access] = []

    def pass_read(self, step: Access) -> None:
        """Let a recorded read come next."""
        self._pending.append(step)

    def settle(self) -> None:
        """Let all that were recorded so far be over."""
        for step in self._pending:
            self._put(step)
        self._pending.clear()

    def write(self, offset: int, width: int, value: int) -> None:
        """Take a write; of what it does only COMMAND is known before it is read again."""
        if offset == _COMMAND:
            self._bytes[offset : offset + width] = value.to_bytes(width, "little")

    def read(self, offset: int, width: int) -> int:
        """Return what a read gives now."""
        for at, step in enumerate(self._pending):
            if (step.offset, step.width) == (offset, width):
                del self._pending[at]
                self._put(step)
                return step.value
        return int.from_bytes(self._bytes[offset : offset + width], "little")

    def _put(self, step: Access) -> None:
        if step.error is None:
            self._bytes[step.offset : step.offset + step.width] = step.value.to_bytes(
                step.width, "little"
            )
