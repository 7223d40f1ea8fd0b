"""A device behind the files of sysfs: configuration space, registers, reset; nothing else."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from functools import partial

from pymmio import forks
from pymmio.arch import pci_ways
from pymmio.backend.handle_config import HandleConfig
from pymmio.backend.sysfs import refusals
from pymmio.backend.sysfs.absent import NoDma, NoInterrupts
from pymmio.backend.sysfs.function import BarFile, SysfsFunction, directory
from pymmio.backend.sysfs.machine import Machine
from pymmio.backend.sysfs.region import FileRegion, MemoryRegion, OpenFile
from pymmio.errors import (
    DeviceBusy,
    DeviceGone,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
)
from pymmio.handle import CONFIG_REGION, MappedArea, RegionInfo
from pymmio.mmio import MappedRegion
from pymmio.pci.header import Command, Offset
from pymmio.pci.resets import ResetMethods, SystemResets, look_at_resets

__all__ = ["SysfsDevice"]


class SysfsDevice:
    """DeviceHandle of a PCI function that is reached by its files in sysfs.

    ``config_only`` looks at configuration space and touches nothing.  ``write_combined`` are the
    numbers of BARs that are mapped by their second file, ``resourceN_wc``.

    Opening enables the function in the kernel's books (the file ``enable``: it is woken to D0,
    and its BARs are routed), and closing takes that back, where no driver is bound.
    """

    def __init__(
        self,
        machine: Machine,
        function: SysfsFunction,
        *,
        config_only: bool = False,
        write_combined: Collection[int] = (),
    ) -> None:
        self.name = f"sysfs:{function.address}"
        self.dma = NoDma(self.name)
        self.irq = NoInterrupts(self.name)
        self.is_enabled_here = False  #: whether closing has to disable it again
        self._machine = machine
        self._function = function
        self._path = directory(function.address)
        self._config_only = config_only
        self._bars = {} if config_only else {bar.index: bar for bar in function.bars}
        self._write_combined = self._checked(write_combined)
        self._memory: dict[int, MemoryRegion] = {}
        self._resources: dict[int, OpenFile | PymmioError] = {}
        self._files: list[OpenFile] = []
        self._undo = ExitStack()
        with ExitStack() as undo:
            self._undo = undo
            file = self._open("config", os.O_RDONLY if config_only else os.O_RDWR)
            if not config_only:
                self._be_alone(file)
            self._config_info = RegionInfo(
                CONFIG_REGION, "config", self._config_size(file), writable=not config_only
            )
            self._config = FileRegion(file, self._config_info, self.is_gone)
            for bar in self._bars.values():
                self._resources[bar.index] = self._resource(bar)
            if not config_only:
                self._enable()
            self._undo = undo.pop_all()
        forks.track(self)

    def _checked(self, write_combined: Collection[int]) -> frozenset[int]:
        for index in write_combined:
            bar = self._bars.get(index)
            if bar is None or not bar.has_wc:
                can = [str(b.index) for b in self._bars.values() if b.has_wc]
                raise Unsupported(
                    f"{self.name}: BAR {index} cannot be mapped write-combined: sysfs has no "
                    f"resource{index}_wc",
                    hint=f"BARs that can: {', '.join(can) or 'none'}. It takes a prefetchable BAR",
                )
        return frozenset(write_combined)

    def _open(self, name: str, flags: int) -> OpenFile:
        path = f"{self._path}/{name}"
        try:
            fd = self._machine.open(path, flags)
        except OSError as error:
            raise refusals.explained(self._machine, error, self.name, path) from error
        file = OpenFile(fd, self.name)
        self._undo.callback(file.close)
        self._files.append(file)
        return file

    def _resource(self, bar: BarFile) -> OpenFile | PymmioError:
        """Open the file of a BAR; a refusal is for who asks for that BAR."""
        is_combined = bar.index in self._write_combined
        try:
            return self._open(f"resource{bar.index}{'_wc' if is_combined else ''}", os.O_RDWR)
        except PermissionRefused as error:
            return error

    def _be_alone(self, file: OpenFile) -> None:
        """Keep other programs that use pymmio from the device, as VFIO does for all."""
        try:
            fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeviceBusy(
                f"{self.name} is open already, here or in another program (its file config is "
                "locked)",
                hint="A device has one user at a time; ?config only looks",
            ) from error

    def _config_size(self, file: OpenFile) -> int:
        """Return 256 or 4096, which the kernel says by the size of the file."""
        size = os.fstat(file.fd).st_size
        if size not in (256, 4096):
            raise Unsupported(f"{self.name}: configuration space of {size} bytes")
        return size

    def _enable(self) -> None:
        """Have the kernel enable the function, where it is not enabled and nobody drives it.

        It takes CAP_SYS_ADMIN.  A user without it, who was given the files, goes on: COMMAND
        is what decides, and the caller switches decoding on there.
        """
        path = f"{self._path}/enable"
        try:
            if self._function.driver is not None or self._machine.read_text(path) != "0":
                return
            self._machine.write_text(path, "1")
        except OSError as error:
            if refusals.is_denial(error) or error.errno == errno.ENOENT:
                return
            raise refusals.explained(self._machine, error, self.name, path) from error
        self.is_enabled_here = True
        self._undo.callback(self._disable)

    def _disable(self) -> None:
        """Take the enabling back; a device that has left needs none."""
        self.is_enabled_here = False
        try:
            self._machine.write_text(f"{self._path}/enable", "0")
        except OSError as error:
            if self._machine.exists(self._path) and error.errno not in (errno.EIO, errno.EBUSY):
                raise refusals.explained(
                    self._machine, error, self.name, f"{self._path}/enable"
                ) from error

    # --- DeviceHandle ------------------------------------------------------------------------

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the BARs that have a file, and configuration space."""
        return (*map(_info, self._bars.values()), self._config_info)

    def open_region(self, index: int) -> FileRegion | MemoryRegion:
        """Open a region; BARs that are memory are mapped once, so that a refusal comes here.

        Raises DeviceNotFound, PermissionRefused and Unsupported, with what the kernel minds.
        """
        if index == CONFIG_REGION:
            return self._config
        bar = self._bars.get(index)
        if bar is None:
            there = ", ".join(f"{i.index} ({i.name})" for i in self.region_infos())
            raise DeviceNotFound(f"{self.name} has no region {index}", hint=f"It has {there}")
        file = self._resources[index]
        if not isinstance(file, OpenFile):
            raise file
        if bar.is_port:
            return FileRegion(file, _info(bar), self.is_gone, self._ports_are_on)
        if index not in self._memory:
            self._map(bar, file).close()  # so that a refusal comes here
            mapped = partial(self._map, bar, file)
            region = MemoryRegion(_info(bar), file, bar.page_offset, mapped)
            self._undo.callback(region.close)
            self._memory[index] = region
        return self._memory[index]

    def _map(self, bar: BarFile, file: OpenFile) -> MappedRegion:
        what = f"{self.name} BAR{bar.index}"
        ways = pci_ways()
        if not ways:
            raise Unsupported(f"{what}: this processor or kernel cannot map PCI memory")
        try:
            mapping = self._machine.map(
                file.fd, bar.page_offset, bar.size, what, writable=True, access=ways[0]
            )
        except (PermissionRefused, Unsupported) as error:
            raise refusals.not_mapped(self._machine, error, what, self._function.owner) from error
        return MappedRegion(mapping)

    def reset(self) -> None:
        """Reset the function by the file ``reset``; the kernel saves and restores its header.

        Raises Unsupported with what was looked at, DeviceBusy, PermissionRefused, DeviceGone.
        """
        if self.is_gone():
            raise DeviceGone(f"{self.name}: reset: the device is gone")
        path = f"{self._path}/reset"
        if self._config_only:
            raise Unsupported(
                f"{self.name} was opened for looking only", hint="Open it without ?config"
            )
        if not self._machine.exists(path):
            raise Unsupported(
                f"{self.name} cannot be reset: the kernel offers no way; looked at "
                f"{self.reset_methods().why_none()}",
                hint="Use the device's own reset register",
            )
        try:
            self._machine.write_text(path, "1")
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EBUSY):
                raise DeviceBusy(
                    f"{self.name} cannot be reset now: {refusals.reason(error)}",
                    hint="Somebody else works on it, or on its bus: try again",
                ) from error
            raise refusals.explained(self._machine, error, f"{self.name}: reset", path) from error

    def reset_methods(self) -> ResetMethods:
        """Return what can reset the function, and what was looked at in vain; reads only."""
        try:
            listed = tuple(self._machine.read_text(f"{self._path}/reset_method").split())
        except OSError:
            listed = None
        has_file = self._machine.exists(f"{self._path}/reset")
        refusal = None if has_file else "sysfs has no file reset for it"
        return look_at_resets(HandleConfig(self._config), SystemResets(listed, refusal))

    def is_gone(self) -> bool:
        """Ask whether the device has left the machine: its directory, then its answers."""
        if not self._machine.exists(self._path):
            return True
        try:
            data = os.pread(self._files[0].fd, 4, Offset.VENDOR_ID)
        except OSError as error:
            return error.errno in (errno.ENODEV, errno.ENXIO)
        return data == b"\xff" * 4

    def close(self) -> None:
        """Unmap, disable and close everything; once, later calls do nothing."""
        self._memory.clear()
        self._undo.close()

    def _ports_are_on(self) -> bool:
        return bool(self._config.read(Offset.COMMAND, 2) & Command.IO)

    def _after_fork(self) -> None:
        """In a forked child: the parent's device is none of ours."""
        self._undo.pop_all()
        for file in self._files:
            file.after_fork()

    def __repr__(self) -> str:
        return f"<SysfsDevice {self.name}>"


def _info(bar: BarFile) -> RegionInfo:
    areas = () if bar.is_port else (MappedArea(0, bar.size),)
    return RegionInfo(bar.index, f"BAR{bar.index}", bar.size, mappable=areas)
