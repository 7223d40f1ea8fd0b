"""The device that writes down every access (pymmio.models.access_recorder)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pymmio.testing.contract.check import Ability
from pymmio.testing.contract.devices.base import Echo, Exerciser, Fixed, Poll

__all__ = ["Arrived", "RecorderExerciser", "first_byte"]

RECORDED, MEMORY, _WINDOW = 0, 2, 4
_IDENTIFICATION, _ENTRIES, _LOST, _CONTROL, _SELECT = 0x00, 0x04, 0x08, 0x0C, 0x10
_OFFSET, _VALUE, _KIND = 0x18, 0x20, 0x28
_CLEAR, _RESTORE = 1, 2


@dataclass(frozen=True, slots=True)
class Arrived:
    """An access as the device saw it; the value is its bytes as a little-endian number."""

    kind: str  #: "read" or "write"
    offset: int
    width: int
    value: int

    def __repr__(self) -> str:
        return f"{self.kind}{8 * self.width}({self.offset:#x}): {self.value:#x}"


def first_byte(offset: int) -> int:
    """Return what a byte of BAR 0 and BAR 2 is at first."""
    return (offset * 151 + offset // 256 + 29) % 256


class RecorderExerciser(Exerciser):
    """BAR 0 is recorded, BAR 2 is memory, BAR 4 tells what was recorded."""

    abilities: ClassVar = frozenset({Ability.SCRATCH, Ability.RECORD})
    fixed = (Fixed(_WINDOW, _IDENTIFICATION, 4, 0xFFFF_FFFF, 0x5243_4552),)
    echoes = tuple(Echo(RECORDED, 0x100, width, (1 << 8 * width) - 1) for width in (1, 2, 4, 8))
    scratch = (RECORDED, MEMORY)

    def identify(self) -> None:
        config = self.device.config
        assert (config.vendor_id, config.device_id) == (0x1234, 0x5243), config

    def make_unlike_new(self) -> None:
        self.device.region(RECORDED).write32(0x100, 0xA5A5_A5A5)

    def is_like_new(self) -> bool:
        return self.device.region(RECORDED).read8(0x100) == first_byte(0x100)

    def never(self) -> Poll:
        return Poll(_WINDOW, _IDENTIFICATION, 1, 1)

    def forget(self) -> None:
        """Empty the log and give both BARs their first content back."""
        self.bar.write32(_CONTROL, _CLEAR | _RESTORE)

    def arrived(self) -> list[Arrived]:
        """Return the accesses of BAR 0 since the log was emptied."""
        bar = self.bar
        assert bar.read32(_LOST) == 0, "the device lost some of its log"
        found = []
        for entry in range(bar.read32(_ENTRIES)):
            bar.write32(_SELECT, entry)
            kind = bar.read32(_KIND)
            found.append(
                Arrived(
                    "write" if kind & 0x100 else "read",
                    bar.read64(_OFFSET),
                    kind & 0xFF,
                    bar.read64(_VALUE),
                )
            )
        return found
