"""Configuration space of the device, and what it says about accesses to its memory."""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.backend.handle_config import ByWidth
from pymmio.backend.qtest.machine.bars import ROM_INDEX, PlacedBar
from pymmio.backend.qtest.machine.function import PciFunction
from pymmio.handle import CONFIG_REGION, RegionInfo
from pymmio.pci.caps import Capability, PciExpress, PowerManagement
from pymmio.pci.header import CONFIG_SIZES, Command, Offset

__all__ = ["DeviceConfig"]

_POWER_CONTROL = 4  # offset in the capability, PCI PM 1.2 §3.2
_POWER_STATE = 0b11
_DEVICE_CONTROL = 8  # offset in the capability, PCI Express Base 5.0 §7.5.3.4
_INITIATE_FLR = 1 << 15
_BARS = (Offset.BAR0, Offset.BAR0 + 24)


class DeviceConfig(ByWidth):
    """A :class:`~pymmio.handle.RegionHandle` that looks at what is written.

    QEMU answers accesses to memory that is not decoded, too: with zeros.  So COMMAND, the power
    state and the BARs are followed here, to tell before an access whether somebody will answer.
    """

    def __init__(
        self,
        function: PciFunction,
        bars: Sequence[PlacedBar],
        capabilities: Sequence[Capability],
    ) -> None:
        """Write the BARs' addresses; ``capabilities`` are those of the function."""
        is_express = any(isinstance(one, PciExpress) for one in capabilities)
        size = CONFIG_SIZES[1] if is_express and function.size > CONFIG_SIZES[0] else 256
        self.info = RegionInfo(CONFIG_REGION, "config", size)
        self.size = size
        self._function = function
        self._bars = {bar.index: bar for bar in bars}
        self._power_control = _place(capabilities, PowerManagement, _POWER_CONTROL)
        self._device_control = _place(capabilities, PciExpress, _DEVICE_CONTROL)
        self.is_awake = True
        self.command = Command(0)
        self._moved: set[int] = set()
        self.restore()

    def restore(self, command: Command = Command(0)) -> None:  # noqa: B008 (an immutable value)
        """Write the BARs' addresses again after a reset, and ``command``; look at it all anew."""
        for bar in self._bars.values():
            bar.write_to(self._function)
        self._function.write16(Offset.COMMAND, command)
        self._look(0, self.size)

    def why_silent(self, bar: PlacedBar) -> str:
        """Say why nobody answers accesses to a BAR, "" if somebody does."""
        wanted = Command.IO if bar.is_io else Command.MEMORY
        if not self.command & wanted:
            return f"{'I/O' if bar.is_io else 'memory'} decoding is off in COMMAND"
        if not self.is_awake:
            return "the function sleeps"
        if bar.index in self._moved:
            return "another address was written to the BAR"
        return ""

    # --- RegionHandle, and what pymmio.pci takes as a configuration space -------------------

    def read(self, offset: int, width: int) -> int:
        """Make one read of 1, 2 or 4 bytes."""
        return self._function.read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Make one write of 1, 2 or 4 bytes."""
        self._function.write(offset, width, value)
        self._look(offset, width)
        if self._is_reset(offset, width, value):
            self.restore()

    def mmap_source(self) -> None:
        """Configuration space is messages."""
        return

    def pread_source(self) -> None:
        """Configuration space is messages."""
        return

    # --- looking -------------------------------------------------------------------------

    def _look(self, offset: int, width: int) -> None:
        """See what a write to these bytes may have changed."""
        end = offset + width
        if offset < Offset.COMMAND + 2 and end > Offset.COMMAND:
            self.command = Command(self._function.read16(Offset.COMMAND))
        at = self._power_control
        if at and offset < at + 2 and end > at:
            self.is_awake = not self._function.read16(at) & _POWER_STATE
        if offset < _BARS[1] and end > _BARS[0]:
            self._moved = {i for i, bar in self._bars.items() if not self._is_in_place(bar)}

    def _is_in_place(self, bar: PlacedBar) -> bool:
        if bar.index == ROM_INDEX:
            return True  # each access writes its address
        at = Offset.BAR0 + 4 * bar.index
        found = self._function.read32(at) & (~0b11 if bar.is_io else ~0xF)
        if bar.is_64bit:
            found |= self._function.read32(at + 4) << 32
        return found == bar.address

    def _is_reset(self, offset: int, width: int, value: int) -> bool:
        """Whether a write was a function-level reset, after which the BARs are gone."""
        at = self._device_control
        if not at or not (offset <= at + 1 < offset + width):
            return False
        return bool(value >> 8 * (at + 1 - offset) & _INITIATE_FLR >> 8)


def _place(capabilities: Sequence[Capability], kind: type[Capability], offset: int) -> int:
    """Return where a register of a capability is, 0 without the capability."""
    return next((one.offset + offset for one in capabilities if isinstance(one, kind)), 0)
