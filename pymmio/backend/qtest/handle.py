"""A device of QEMU behind the Protocols that drivers reach it through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pymmio.backend.qtest.binary import version_of
from pymmio.backend.qtest.config import DeviceConfig
from pymmio.backend.qtest.dma import QtestDma
from pymmio.backend.qtest.endings import ended
from pymmio.backend.qtest.irq import QtestIrq
from pymmio.backend.qtest.machine.bars import ROM_INDEX, PlacedBar
from pymmio.backend.qtest.machine.device_memory import DeviceMemory
from pymmio.backend.qtest.machine.function import PciFunction
from pymmio.backend.qtest.machine.port import reset_bus
from pymmio.backend.qtest.process import QemuProcess
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.backend.qtest.region import QtestRegion, RamRegion, RomRegion
from pymmio.backend.qtest.relay import Relay
from pymmio.errors import DeviceGone, DeviceNotFound, PymmioError, Unsupported
from pymmio.forks import track
from pymmio.handle import CONFIG_REGION, MappedArea, RegionInfo
from pymmio.pci.header import Command
from pymmio.pci.resets import ResetKind, ResetMethod, ResetMethods, look_at_resets

__all__ = ["QtestHandle"]


class QtestHandle:
    """A :class:`~pymmio.handle.DeviceHandle`; owns the QEMU process and all that belongs to it."""

    def __init__(
        self,
        *,
        name: str,
        binary: str,
        process: QemuProcess,
        channel: QtestChannel,
        port: PciFunction,
        function: PciFunction,
        config: DeviceConfig,
        bars: Sequence[PlacedBar],
        irq: QtestIrq,
        dma: QtestDma,
        relay: Relay,
        memory: DeviceMemory | None,
        memory_bar: int | None,
    ) -> None:
        """Own nothing yet; the BAR ``memory_bar`` shows ``memory``."""
        self.name = name
        self._binary = binary
        self.process = process
        self.irq = irq
        self.dma = dma
        self._channel = channel
        self._port = port
        self._function = function
        self._config = config
        self._bars = {bar.index: bar for bar in bars}
        self._relay = relay
        self._memory = memory
        self._memory_bar = memory_bar if memory is not None else None
        self._resources = ExitStack()
        self._is_closed = False
        self._is_ours = True
        track(self)

    def take_over(self, resources: ExitStack) -> None:
        """Own what everything here stands on; :meth:`close` closes it."""
        self._resources = resources

    def through(self) -> str:
        """Return the version of the QEMU between this program and the device, in its words."""
        return version_of(self._binary)

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the BARs, the expansion ROM where there is one, and configuration space."""
        return (*(self._info(bar) for bar in self._bars.values()), self._config.info)

    def open_region(self, index: int) -> QtestRegion | DeviceConfig:
        """Return the region with this index.  Raises DeviceNotFound."""
        if index == CONFIG_REGION:
            return self._config
        bar = self._bars.get(index)
        if bar is None:
            raise DeviceNotFound(f"{self.name} has no region {index}")
        info = self._info(bar)
        if index == ROM_INDEX:
            return RomRegion(info, bar, self._config, self._channel, self._function)
        if self._memory is not None and index == self._memory_bar:
            return RamRegion(info, bar, self._config, self._channel, self._memory.fd)
        return QtestRegion(info, bar, self._config, self._channel)

    def reset(self) -> None:
        """Reset the device through the port that it is behind; all models can do that.

        BARs and interrupts are set up again as they were, decoding too; bus mastering is off.
        Accesses of other threads wait meanwhile.
        """
        with self._channel.exclusive():
            decoding = self._config.command & (Command.IO | Command.MEMORY)
            reset_bus(self._port)
            self._config.restore(decoding)
            self.irq.restore()
            self._channel.settle()

    def reset_methods(self) -> ResetMethods:
        """Return what the function offers itself, and the reset of its bus, which is used."""
        own = look_at_resets(self._config).looked_at
        bus = ResetMethod(ResetKind.BUS, True, "it is alone behind its port")
        return ResetMethods((*own, bus))

    def is_gone(self) -> bool:
        """Ask whether QEMU has ended."""
        return self._is_ours and self.process.has_ended()

    def when_gone(self, callback: Callable[[Callable[[], PymmioError]], None]) -> None:
        """Have ``callback`` called, in a thread of ours, when QEMU ends and nobody wanted that."""

        def tell() -> None:
            error = ended(self.name, self.process)
            callback(lambda: DeviceGone(error.message, hint=error.hint))

        try:
            pidfd = self.process.open_pidfd()
        except OSError:  # before Linux 5.3, or forbidden: then the next access tells
            return
        self._relay.watch(pidfd, tell)

    def physical_memory(self, start: int, size: int) -> tuple[int, int]:
        """Return (descriptor, offset in it) of memory that a device has beside its BARs.

        virtio-pmem tells its driver such an address.  The descriptor is the handle's: map it, or
        duplicate it.  Raises Unsupported where the device has no such memory, OutOfBounds.
        """
        if self._memory is None or self._memory_bar is not None:
            raise Unsupported(
                f"{self.name} has no memory outside of its BARs",
                hint="Name its file, as in qemu:virtio-pmem-pci?memory=FILE",
            )
        return self._memory.find(start, size)

    def close(self) -> None:
        """End QEMU, which writes what its disk images need, and release everything; once."""
        if self._is_closed or not self._is_ours:
            return
        self._is_closed = True
        self._channel.expect_end()
        self._relay.stop_watching()
        with self._resources:
            self.process.stop()  # first: who waits for an answer is woken

    def _info(self, bar: PlacedBar) -> RegionInfo:
        if bar.index == ROM_INDEX:
            return RegionInfo(ROM_INDEX, "ROM", bar.size, writable=False)
        is_ram = bar.index == self._memory_bar
        areas = (MappedArea(0, bar.size),) if is_ram else ()
        return RegionInfo(
            bar.index, f"BAR{bar.index}", bar.size, mappable=areas, is_pci=not bar.is_io,
            is_ram=is_ram,
        )  # fmt: skip

    def _after_fork(self) -> None:
        """In a forked child: the parent's QEMU is none of ours."""
        self._is_ours = False
