"""A device model behind the Protocols that drivers reach it through."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pymmio.backend.handle_config import HandleConfig
from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.backend.model_config import SIZE as CONFIG_SIZE
from pymmio.backend.model_config import ConfigModel, msix_table_size
from pymmio.backend.sim.iommu import SimIommu
from pymmio.backend.sim.irq import SimIrq
from pymmio.backend.sim.slot import SimSlot
from pymmio.errors import AccessFault, DeviceGone, DeviceNotFound, IommuFault
from pymmio.handle import CONFIG_REGION, IrqKind, MappedArea, RegionInfo
from pymmio.pci.resets import ResetKind, ResetMethod, ResetMethods, look_at_resets

__all__ = ["SimHandle"]


class SimHandle:
    """A :class:`~pymmio.handle.DeviceHandle` and the model's :class:`ModelHost`.

    Calls of the model are serialised by one lock and run in the thread that makes the
    access.  ``model`` is there for tests, and ``slot`` for what happens to devices.
    """

    def __init__(self, model: DeviceModel, name: str, iommu: SimIommu | None = None) -> None:
        """Serve ``model``, behind the IOMMU of another device where one is given."""
        self.model = model
        self.name = name
        self.lock = threading.RLock()
        self._bars = {bar.index: bar for bar in model.bars}
        self._memory: dict[int, tuple[int, mmap.mmap]] = {}
        self._is_closed = False
        with ExitStack() as undo:
            undo.callback(model.close)
            self.config = ConfigModel(model)
            if iommu is not None:
                iommu.join()
            self.dma = iommu or SimIommu(name)
            undo.callback(self.dma.close)
            self.irq = SimIrq(model, self.config)
            for bar in model.bars:
                if bar.ram:
                    fd = os.memfd_create(f"pymmio-{name}-bar{bar.index}", os.MFD_CLOEXEC)
                    undo.callback(os.close, fd)
                    os.ftruncate(fd, bar.size)
                    self._memory[bar.index] = (fd, mmap.mmap(fd, bar.size))
            memory = {i: (fd, self._bars[i].size) for i, (fd, _) in self._memory.items()}
            self.slot = SimSlot(name, memory, self.irq.report)
            self._regions = {b.index: _BarRegion(self, b) for b in model.bars if not b.ram}
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
        if index not in self._bars:
            raise DeviceNotFound(f"{self.name} has no region {index}")
        bar = self._bars[index]
        if bar.ram:
            return SimRamRegion(self._info(bar), self._memory[index][0])
        return self._regions[index].region

    def _config_read(self, offset: int, width: int) -> int:
        if self.slot.is_empty:
            return (1 << 8 * width) - 1
        return self.config.read(offset, width)

    def _config_write(self, offset: int, width: int, value: int) -> None:
        if not self.slot.is_empty:
            self.config.write(offset, width, value)

    def reset(self) -> None:
        """Reset the function: model, configuration space, interrupts.  Raises DeviceGone."""
        self.slot.pass_gate("reset")
        if self.slot.is_empty:
            raise DeviceGone(f"{self.name}: reset: the device is gone")
        with self.lock:
            self.config.reset()
            self.irq.reset()
            self.model.reset()

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
            for fd, memory in self._memory.values():
                memory.close()
                os.close(fd)
            self._memory.clear()
            self.model.close()

    def _info(self, bar: BarSpec) -> RegionInfo:
        areas = (MappedArea(0, bar.size),) if bar.ram else ()
        return RegionInfo(bar.index, f"BAR{bar.index}", bar.size, mappable=areas, is_ram=bar.ram)

    # --- ModelHost -----------------------------------------------------------------------------

    def dma_read(self, iova: int, size: int) -> bytes:
        """Read the driver's memory for the model."""
        self._check_master(iova)
        return self.dma.read(iova, size, self.name)

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        """Write the driver's memory for the model."""
        self._check_master(iova)
        self.dma.write(iova, data, self.name)

    def _check_master(self, iova: int) -> None:
        if self.slot.is_empty:
            raise IommuFault(f"{self.name}: the device was unplugged while it accessed {iova:#x}")
        if not self.config.is_master_on:
            raise IommuFault(
                f"{self.name}: the device accessed IOVA {iova:#x} while bus mastering is off",
                hint="Call device.enable_bus_master() before the device is started",
            )

    def raise_irq(self, kind: IrqKind, vector: int = 0) -> None:
        """Signal an interrupt for the model."""
        if not self.slot.is_empty:
            self.irq.raise_irq(kind, vector)

    def lower_intx(self) -> None:
        """Deassert INTx for the model."""
        self.irq.lower_intx()

    def bar_memory(self, index: int) -> memoryview:
        """Return the memory behind a BAR that is plain memory."""
        return memoryview(self._memory[index][1])


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


class _BarRegion:
    """What a model's BAR does: the MSI-X table is the server's, all else the model's."""

    def __init__(self, handle: SimHandle, bar: BarSpec) -> None:
        model = handle.model
        self._handle = handle
        self._bar = bar
        self._table = bytearray()
        self._table_at = 0
        if model.msix_vectors and model.msix_bar == bar.index:
            self._table = bytearray(msix_table_size(model.msix_vectors))
            self._table_at = model.msix_offset
        self.region = SimRegion(handle._info(bar), handle.lock, self._read, self._write)

    def _require_decoding(self, offset: int, width: int, is_write: bool) -> None:
        if not (self._handle.config.is_memory_on and self._handle.config.is_awake):
            raise AccessFault(
                f"{self._handle.name}: BAR{self._bar.index} does not answer at {offset:#x}",
                region=f"BAR{self._bar.index}",
                offset=offset,
                width=width,
                is_write=is_write,
                hint="Set COMMAND.MEM in configuration space; wake the function to D0",
            )

    def _is_table(self, offset: int, width: int) -> bool:
        return self._table_at <= offset and offset + width <= self._table_at + len(self._table)

    def _read(self, offset: int, width: int) -> int:
        if self._handle.slot.is_empty:
            return self._handle.slot.read(f"BAR{self._bar.index}", offset, width)
        self._require_decoding(offset, width, is_write=False)
        if self._is_table(offset, width):
            at = offset - self._table_at
            return int.from_bytes(self._table[at : at + width], "little")
        return self._handle.model.bar_read(self._bar.index, offset, width)

    def _write(self, offset: int, width: int, value: int) -> None:
        if self._handle.slot.is_empty:
            self._handle.slot.write(f"BAR{self._bar.index}", offset, width, value)
            return
        self._require_decoding(offset, width, is_write=True)
        if self._is_table(offset, width):
            at = offset - self._table_at
            self._table[at : at + width] = value.to_bytes(width, "little")
        else:
            self._handle.model.bar_write(self._bar.index, offset, width, value)
