"""A device model behind the Protocols that drivers reach it through."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pymmio.backend.handle_config import HandleConfig
from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.backend.model_config import SIZE as CONFIG_SIZE
from pymmio.backend.served import ServedDevice
from pymmio.backend.sim.iommu import SimIommu
from pymmio.backend.sim.slot import SimSlot
from pymmio.errors import AccessFault, DeviceGone, DeviceNotFound, IommuFault
from pymmio.handle import CONFIG_REGION, IrqKind, MappedArea, RegionInfo
from pymmio.pci.resets import ResetKind, ResetMethod, ResetMethods, look_at_resets

__all__ = ["SimHandle"]


class SimHandle(ServedDevice):
    """A :class:`~pymmio.handle.DeviceHandle` and the model's :class:`ModelHost`.

    Calls of the model run in the thread that makes the access.  ``model`` is there for tests,
    and ``slot`` for what happens to devices.
    """

    def __init__(self, model: DeviceModel, name: str, iommu: SimIommu | None = None) -> None:
        """Serve ``model``, behind the IOMMU of another device where one is given."""
        super().__init__(model, name)
        self._is_closed = False
        with ExitStack() as undo:
            undo.callback(self.free)
            if iommu is not None:
                iommu.join()
            self.dma = iommu or SimIommu(name)
            undo.callback(self.dma.close)
            memory = {index: (one.fd, one.size) for index, one in self.memory.items()}
            self.slot = SimSlot(name, memory, self.irq.report)
            self._regions = {i: self._bar_region(bar) for i, bar in self.bars.items()}
            model.attach(self)
            undo.pop_all()

    # --- DeviceHandle ------------------------------------------------------------------------

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the model's BARs and the configuration space."""
        bars = [self._info(bar) for bar in self.model.bars]
        return (*bars, RegionInfo(CONFIG_REGION, "config", CONFIG_SIZE))

    def open_region(self, index: int) -> SimRegion | SimRamRegion:
        """Return the region with this index."""
        if index == CONFIG_REGION:
            info = RegionInfo(CONFIG_REGION, "config", CONFIG_SIZE)
            return SimRegion(info, self.lock, self._config_read, self._config_write)
        if index not in self._regions:
            raise DeviceNotFound(f"{self.name} has no region {index}")
        return self._regions[index]

    def _config_read(self, offset: int, width: int) -> int:
        if self.slot.is_empty:
            return (1 << 8 * width) - 1
        return self.config.read(offset, width)

    def _config_write(self, offset: int, width: int, value: int) -> None:
        if not self.slot.is_empty:
            self.config.write(offset, width, value)

    def _bar_region(self, bar: BarSpec) -> SimRegion | SimRamRegion:
        index = bar.index
        if bar.ram:
            return SimRamRegion(self._info(bar), self.memory[index].fd)

        def read(offset: int, width: int) -> int:
            if self.slot.is_empty:
                return self.slot.read(f"BAR{index}", offset, width)
            return self.bar_read(index, offset, width)

        def write(offset: int, width: int, value: int) -> None:
            if self.slot.is_empty:
                self.slot.write(f"BAR{index}", offset, width, value)
            else:
                self.bar_write(index, offset, width, value)

        return SimRegion(self._info(bar), self.lock, read, write)

    def reset(self) -> None:
        """Reset the function: model, configuration space, interrupts.  Raises DeviceGone."""
        self.slot.pass_gate("reset")
        if self.slot.is_empty:
            raise DeviceGone(f"{self.name}: reset: the device is gone")
        with self.lock:
            self.reset_function()

    def is_gone(self) -> bool:
        """Ask whether the device was unplugged."""
        return self.slot.is_empty

    def reset_methods(self) -> ResetMethods:
        """Return the way that every model has, besides what its configuration space says."""
        own = look_at_resets(HandleConfig(self.open_region(CONFIG_REGION))).looked_at
        return ResetMethods((*own, ResetMethod(ResetKind.MODEL, True, "the model starts anew")))

    def close(self) -> None:
        """Close the model and free its memory; its IOMMU with the last device behind it."""
        self.slot.pass_gate("close")
        with self.lock:
            if self._is_closed:
                return
            self._is_closed = True
            self.dma.close()
            self.free()

    def _info(self, bar: BarSpec) -> RegionInfo:
        areas = (MappedArea(0, bar.size),) if bar.ram else ()
        return RegionInfo(bar.index, f"BAR{bar.index}", bar.size, mappable=areas, is_ram=bar.ram)

    # --- ModelHost, where it depends on the slot ----------------------------------------------

    @property
    def device_memory(self) -> SimIommu:
        """The driver's memory, for the model."""
        return self.dma

    def require_master(self, iova: int) -> None:
        """Raise IommuFault while the device may not access memory."""
        if self.slot.is_empty:
            raise IommuFault(f"{self.name}: the device was unplugged while it accessed {iova:#x}")
        super().require_master(iova)

    def raise_irq(self, kind: IrqKind, vector: int = 0) -> None:
        """Signal an interrupt for the model."""
        if not self.slot.is_empty:
            super().raise_irq(kind, vector)


class SimRegion:
    """A :class:`~pymmio.handle.RegionHandle` over two functions, one access at a time."""

    def __init__(
        self,
        info: RegionInfo,
        lock: threading.RLock,
        read: Callable[[int, int], int],
        write: Callable[[int, int, int], None],
    ) -> None:
        self.info = info
        self._lock = lock
        self._read = read
        self._write = write

    def read(self, offset: int, width: int) -> int:
        """Make one read."""
        with self._lock:
            return self._read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Make one write."""
        with self._lock:
            self._write(offset, width, value)

    def mmap_source(self) -> None:
        """A model sees single accesses: nothing to map."""
        return

    def pread_source(self) -> None:
        """No file stands behind a model."""
        return


class SimRamRegion(SimRegion):
    """A BAR that is plain memory: it can be mapped."""

    def __init__(self, info: RegionInfo, fd: int) -> None:
        super().__init__(info, threading.RLock(), self._pread, self._pwrite)
        self._fd = fd

    def _pread(self, offset: int, width: int) -> int:
        data = os.pread(self._fd, width, offset)
        if len(data) != width:
            raise self._cut_off(offset, width)
        return int.from_bytes(data, "little")

    def _pwrite(self, offset: int, width: int, value: int) -> None:
        if offset + width > os.fstat(self._fd).st_size:
            raise self._cut_off(offset, width, value)
        os.pwrite(self._fd, value.to_bytes(width, "little"), offset)

    def _cut_off(self, offset: int, width: int, value: int | None = None) -> AccessFault:
        return AccessFault(
            f"{self.info.name}: nothing answers at {offset:#x}",
            region=self.info.name,
            offset=offset,
            width=width,
            is_write=value is not None,
            value=value,
        )

    def mmap_source(self) -> tuple[int, int]:  # type: ignore[override]
        """Return the memfd."""
        return self._fd, 0

    def pread_source(self) -> tuple[int, int]:  # type: ignore[override]
        """Return the memfd."""
        return self._fd, 0
