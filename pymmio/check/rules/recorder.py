"""Who writes down the accesses that reached a device, and gives them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pymmio.device import Device
from pymmio.errors import ProtocolError, Unsupported

__all__ = ["DeviceRecorder", "Recorder", "Seen"]

RECORDED_BAR = 0
_WINDOW_BAR = 4
_IDS = (0x1234, 0x5243)

# The window of the model access-recorder; its page in the documentation has the table.
_IDENTIFICATION, _LETTERS = 0x00, 0x52434552
_COUNT, _LOST, _CONTROL, _SELECT = 0x04, 0x08, 0x0C, 0x10
_OFFSET, _VALUE, _KIND = 0x18, 0x20, 0x28
_CLEAR = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """One access as the device saw it; the value is its bytes, low byte first."""

    offset: int
    width: int
    is_write: bool
    value: int

    def __str__(self) -> str:
        return f"{'write' if self.is_write else 'read'} {self.width}@{self.offset:#x}"


class Recorder(Protocol):
    """A log of the accesses that reached a device."""

    def take(self) -> Sequence[Seen]:
        """Return what came since the last call, in its order, and forget it."""
        ...


class DeviceRecorder:
    """The log of an access recorder, read through its window: in this process or far away.

    Raises Unsupported for any other device, ProtocolError where the log lost accesses or makes
    no sense.
    """

    def __init__(self, device: Device) -> None:
        config = device.config
        if (config.read16(0), config.read16(2)) != _IDS or _WINDOW_BAR not in device.regions:
            raise Unsupported(
                f"{device.name} keeps no log of its accesses",
                hint="Use sim:access-recorder, or serve that model",
            )
        self._window = device.region(_WINDOW_BAR)
        if self._window.read32(_IDENTIFICATION) != _LETTERS:
            raise ProtocolError(f"{device.name}: BAR4 is not the window of an access recorder")
        self.take()

    def take(self) -> list[Seen]:
        """Return what came since the last call, in its order, and forget it."""
        window = self._window
        count, lost = window.read32(_COUNT), window.read32(_LOST)
        if lost:
            window.write32(_CONTROL, _CLEAR)
            raise ProtocolError(f"the recorder lost {lost} accesses", hint="Raise its limit=")
        seen = []
        for index in range(count):
            window.write32(_SELECT, index)
            kind = window.read32(_KIND)
            seen.append(
                Seen(window.read64(_OFFSET), kind & 0xFF, bool(kind >> 8), window.read64(_VALUE))
            )
        window.write32(_CONTROL, _CLEAR)
        return seen
