"""A recording behind the Protocols that drivers reach a device through."""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.errors import DeviceNotFound
from pymmio.handle import RegionInfo
from pymmio.models.replay.host import ReplayDma, ReplayIrq
from pymmio.models.replay.player import Player

__all__ = ["ReplayHandle", "ReplayRegion"]


class ReplayHandle:
    """A :class:`~pymmio.handle.DeviceHandle`; all accesses are messages to the player."""

    def __init__(self, player: Player, name: str) -> None:
        self.player = player
        self.name = name
        self._infos = {
            region.index: RegionInfo(
                region.index, region.name, region.size, region.readable, region.writable
            )
            for region in player.script.device.regions
        }
        self._is_closed = False
        player.start()

    @property
    def dma(self) -> ReplayDma:
        """The memory."""
        return self.player.dma

    @property
    def irq(self) -> ReplayIrq:
        """The interrupts."""
        return self.player.irq

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the regions that the recorded device had."""
        return tuple(self._infos.values())

    def open_region(self, index: int) -> ReplayRegion:
        """Return a region."""
        if index not in self._infos:
            raise DeviceNotFound(f"{self.name} has no region {index}")
        return ReplayRegion(self._infos[index], self.player)

    def reset(self) -> None:
        """Take a reset."""
        self.player.reset()

    def is_gone(self) -> bool:
        """Ask whether the recorded device had left at this time."""
        return self.player.ask_gone()

    def close(self) -> None:
        """Free everything; raise ReplayMismatch where the driver and the recording differed."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.player.finish()
        finally:
            self.player.close()


class ReplayRegion:
    """A :class:`~pymmio.handle.RegionHandle`."""

    def __init__(self, info: RegionInfo, player: Player) -> None:
        self.info = info
        self._player = player

    def read(self, offset: int, width: int) -> int:
        """Answer one read."""
        return self._player.read(self.info.index, offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Take one write."""
        self._player.write(self.info.index, offset, width, value)

    def mmap_source(self) -> None:
        """Each access is looked at: nothing to map."""
        return

    def pread_source(self) -> None:
        """No file stands behind it."""
        return
