"""A PCI function that VFIO has handed out, by whichever way.

Source: Linux 6.12, include/uapi/linux/vfio.h and drivers/vfio/pci/vfio_pci_core.c.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Sequence

from pymmio.backend.handle_config import HandleConfig
from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.capchain import ask
from pymmio.backend.vfio.connection import Connection
from pymmio.backend.vfio.hot_reset import HotReset
from pymmio.backend.vfio.irq import VfioIrq
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.msix_table import find_msix_table
from pymmio.backend.vfio.qword import is_one_access
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.region import VfioRegion
from pymmio.backend.vfio.region_info import RegionRecord, read_region
from pymmio.backend.vfio.sysfs import PciFunction, directory, reset_methods
from pymmio.errors import DeviceBusy, DeviceGone, ProtocolError, PymmioError, Unsupported
from pymmio.forks import track
from pymmio.handle import CONFIG_REGION, DmaHandle, IrqKind, RegionInfo
from pymmio.pci.address import PciAddress
from pymmio.pci.header import Command, Offset
from pymmio.pci.resets import ResetMethods, SystemResets, look_at_resets

__all__ = ["VfioDevice"]

_NOT_OFFERED = "VFIO found no way to reset it alone"
_MAX_INDICES = 256  # vfio-pci has 9 regions and few more that are specific to a device


class VfioDevice:
    """DeviceHandle of a VFIO device; owns its connection."""

    def __init__(
        self,
        kernel: Kernel,
        function: PciFunction,
        connection: Connection,
        passed_over: PymmioError | None = None,
    ) -> None:
        """Take the connection over and ask the kernel about the device's regions.

        ``passed_over`` is why a better way to the device was not taken.

        Raises Unsupported where the device is no PCI function, ProtocolError where an
        answer contradicts itself, DeviceGone; the connection then stays the caller's.
        """
        self._kernel = kernel
        self._function = function
        self._connection = connection
        self.passed_over = passed_over
        try:
            self._regions = self._read_regions()
        except PymmioError:  # some of which are OSErrors as well
            raise
        except OSError as error:
            raise DeviceGone(
                f"{self.name} was opened and does not say what it has: {reason(error)}",
                hint="See the kernel's log",
            ) from error
        self._qwords = is_one_access(kernel.release(), kernel.machine())
        track(self)

    @property
    def name(self) -> str:
        """The PCI address."""
        return str(self._function.address)

    @property
    def interface(self) -> str:
        """How the device was reached: ``cdev``, ``group`` or ``noiommu``."""
        return self._connection.interface

    @property
    def connection(self) -> Connection:
        """The way to the device, for another one that shall share its address space."""
        return self._connection

    @property
    def dma(self) -> DmaHandle:
        return self._connection.dma

    @property
    def irq(self) -> VfioIrq:
        return self._irq

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the regions that exist, by index, configuration space among them."""
        return tuple(record.info for record in self._regions.values())

    def region_records(self) -> Sequence[RegionRecord]:
        """Return what VFIO says about the regions beyond that."""
        return tuple(self._regions.values())

    def open_region(self, index: int) -> VfioRegion:
        """Return the region of this index.  Raises Unsupported where there is none."""
        record = self._regions.get(index)
        if record is None:
            there = ", ".join(f"{i} ({r.info.name})" for i, r in self._regions.items())
            raise Unsupported(f"{self.name} has no region {index}", hint=f"It has {there}")
        table = None
        if index <= uapi.RegionIndex.BAR5 and self._irq.count(IrqKind.MSIX):
            table = find_msix_table(self.open_region(CONFIG_REGION), index)
        return VfioRegion(
            kernel=self._kernel,
            device=self._connection.device,
            record=record,
            qword_is_one_access=self._qwords,
            is_gone=self.is_gone,
            ports_are_on=self._ports_are_on,
            msix_table=table,
        )

    def reset(self) -> None:
        """Reset the function by what it has: FLR, power management, or its slot or bus.

        The bus is reset with other functions only where all of these are nobody's.  All
        registers fall back to their defaults; VFIO restores the configuration header.
        Raises Unsupported, with what was looked at, where there is no way, DeviceBusy and
        DeviceGone.
        """
        fd = self._connection.device.fd
        if not self._flags & uapi.DeviceFlags.RESET:
            self._reset_bus(_NOT_OFFERED)
            return
        try:
            self._kernel.ioctl(fd, uapi.DEVICE_RESET)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EBUSY):
                raise DeviceBusy(
                    f"{self.name} cannot be reset now: {reason(error)}",
                    hint="Somebody else works on it, or on its bus: try again",
                ) from error
            if error.errno in (errno.ENODEV, errno.ENXIO):
                raise DeviceGone(f"{self.name}: reset: the device is gone") from error
            self._reset_bus(reason(error))

    def hot_reset(self, affecting: Collection[PciAddress] = ()) -> None:
        """Reset slot or bus; open devices of this process only where ``affecting`` names them.

        Raises Unsupported, DeviceBusy and DeviceGone.
        """
        HotReset(self._kernel, self._function, self._connection).run(affecting)

    def reset_methods(self) -> ResetMethods:
        """Return what can reset the function, and what was looked at in vain; reads only."""
        is_offered = self._flags & uapi.DeviceFlags.RESET
        system = SystemResets(
            listed=reset_methods(self._kernel, self._function.address),
            refusal=None if is_offered else _NOT_OFFERED,
            more=(HotReset(self._kernel, self._function, self._connection).method(),),
        )
        return look_at_resets(HandleConfig(self.open_region(CONFIG_REGION)), system)

    def is_gone(self) -> bool:
        """Ask whether the device has left the machine, after something failed."""
        if not self._kernel.exists(directory(self._function.address)):
            return True
        config = self._regions[CONFIG_REGION].file_offset
        fd = self._connection.device.fd
        # VFIO answers identity from memory, so look at what it passes on: STATUS has bits
        # that are always 0 (PCI Local Bus 3.0 §6.2.3), INTERRUPT_PIN is 0 to 4 (§6.2.4).
        for offset, width in ((Offset.STATUS, 2), (Offset.INTERRUPT_LINE, 4)):
            try:
                data = self._kernel.pread(fd, width, config + offset)
            except OSError as error:
                if error.errno in (errno.ENODEV, errno.ENXIO):
                    return True
                continue
            if data == b"\xff" * width:
                return True
        return False

    def close(self) -> None:
        """Give the device back; once, later calls do nothing.

        Regions must be unmapped before: a mapping keeps the device held, which is raised
        as DeviceBusy after everything else was released.  Closing switches off whatever
        interrupts and mappings for DMA are left.
        """
        self._connection.close()

    def _after_fork(self) -> None:
        """In a forked child: the parent's device is none of ours."""
        self._irq.after_fork()
        self._connection.after_fork()

    def _read_regions(self) -> dict[int, RegionRecord]:
        fd = self._connection.device.fd
        answer = ask(self._kernel, fd, uapi.DEVICE_GET_INFO, uapi.DEVICE_INFO, 0, 0, 0, 0)
        _, flags, region_count, irq_count, _ = uapi.DEVICE_INFO.unpack_from(answer)
        if not flags & uapi.DeviceFlags.PCI:
            raise Unsupported(f"{self.name} is no PCI device for VFIO (flags {flags:#x})")
        if region_count > _MAX_INDICES:
            raise ProtocolError(f"{self.name}: VFIO announces {region_count} regions")
        self._flags = flags
        self._irq = VfioIrq(self._kernel, self._connection.device, irq_count, self.name)
        records = (
            read_region(self._kernel, fd, index, self._function.io_port_bars)
            for index in range(region_count)
        )
        regions = {record.info.index: record for record in records if record is not None}
        if CONFIG_REGION not in regions:
            raise ProtocolError(f"{self.name}: VFIO offers no configuration space")
        return regions

    def _reset_bus(self, seen: str) -> None:
        """Reset slot or bus, for want of anything better; else say what was looked at."""
        try:
            self.hot_reset()
        except (Unsupported, DeviceBusy) as error:
            raise self._no_reset(f"{seen}; looked at {self.reset_methods().why_none()}") from error

    def _no_reset(self, seen: str) -> Unsupported:
        return Unsupported(
            f"{self.name} cannot be reset: {seen}",
            hint="It has neither function level reset nor a slot of its own to reset (it sits "
            "on the root bus, or shares its bus): put it behind a root port, or use the "
            "device's own reset register",
        )

    def _ports_are_on(self) -> bool:
        return bool(self.open_region(CONFIG_REGION).read(Offset.COMMAND, 2) & Command.IO)
