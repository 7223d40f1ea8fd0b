"""Single accesses to configuration space, I/O ports and memory by the files of sysfs.

Source: Linux 6.12, drivers/pci/pci-sysfs.c (pci_read_config, pci_resource_io, pci_mmap_resource).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import TypedDict

from pymmio.backend.sysfs import refusals
from pymmio.errors import (
    AccessFault,
    Closed,
    DeviceGone,
    ForkedObject,
    Misaligned,
    PermissionRefused,
    PymmioError,
    ReadOnly,
    WidthRefused,
)
from pymmio.handle import RegionInfo
from pymmio.mmio import MappedRegion

__all__ = ["FileRegion", "MemoryRegion", "OpenFile"]

PUBLIC_CONFIG = 64
"""Bytes of configuration space that everybody may read; the rest needs CAP_SYS_ADMIN."""


class _Place(TypedDict):
    region: str
    offset: int
    width: int
    is_write: bool
    value: int | None


class OpenFile:
    """An open file of the device.  In a forked child it is closed, and every use says so."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self._is_forked = False

    @property
    def fd(self) -> int:
        """The descriptor.  Raises Closed and ForkedObject."""
        if self._is_forked:
            raise ForkedObject(
                f"{self._name} belongs to the parent process", hint="Open the device after fork"
            )
        if self._fd < 0:
            raise Closed(f"{self._name} is closed", hint="Open the device again")
        return self._fd

    def close(self) -> None:
        """Close it; closing twice is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def after_fork(self) -> None:
        """Let it go, in the child."""
        self._is_forked = True
        self.close()


class FileRegion:
    """A RegionHandle of a file that is read and written: ``config``, or I/O ports.

    Aligned accesses of 1, 2 and 4 bytes are one access each; the kernel would make several of
    all others.  ``decodes`` asks whether I/O ports answer at all.
    """

    def __init__(
        self,
        file: OpenFile,
        info: RegionInfo,
        is_gone: Callable[[], bool],
        decodes: Callable[[], bool] = lambda: True,
    ) -> None:
        self.info = info
        self._file = file
        self._is_gone = is_gone
        self._decodes = decodes

    def read(self, offset: int, width: int) -> int:
        """Make one read.  Raises Misaligned, WidthRefused, AccessFault, DeviceGone.

        PermissionRefused where configuration space beyond the first 64 bytes is not for this
        user.
        """
        place = self._place(offset, width)
        self._check(place)
        try:
            data = os.pread(self._file.fd, width, offset)
        except OSError as error:
            raise self._failed(error, place) from error
        if len(data) != width:
            raise self._cut_off(len(data), place)
        return int.from_bytes(data, "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """Make one write; raises as :meth:`read` does, and ReadOnly."""
        place = self._place(offset, width, value)
        self._check(place)
        try:
            done = os.pwrite(self._file.fd, value.to_bytes(width, "little"), offset)
        except OSError as error:
            raise self._failed(error, place) from error
        if done != width:
            raise self._cut_off(done, place)

    def mmap_source(self) -> None:
        """Nothing to map."""
        return

    def pread_source(self) -> tuple[int, int]:
        """Return the descriptor; the region begins at 0."""
        return self._file.fd, 0

    def _place(self, offset: int, width: int, value: int | None = None) -> _Place:
        return {
            "region": self.info.name,
            "offset": offset,
            "width": width,
            "is_write": value is not None,
            "value": value,
        }

    def _check(self, place: _Place) -> None:
        if place["is_write"] and not self.info.writable:
            raise ReadOnly(
                f"{_said(place)}: the device was opened for looking only (?config)", **place
            )
        if place["width"] == 8:
            raise WidthRefused(
                f"{_said(place)}: the kernel takes at most 4 bytes at once here",
                hint="Say how to split: AccessRule(device_widths=frozenset({1, 2, 4}), "
                "order64=Order.LOW_FIRST)",
                **place,
            )
        if place["offset"] % place["width"]:
            raise Misaligned(
                f"{_said(place)}: the kernel would split it into aligned pieces",
                hint="Use an aligned offset, or AccessRule(otherwise=Violation.SPLIT)",
                **place,
            )
        if not self._decodes():
            raise AccessFault(
                f"{_said(place)}: I/O decoding is off in COMMAND, the device would not answer",
                hint="Switch it on: dev.config.update_command(on=Command.IO)",
                **place,
            )

    def _failed(self, error: OSError, place: _Place) -> PymmioError:
        said = f"{_said(place)}: {refusals.reason(error)}"
        if error.errno in (errno.ENODEV, errno.ENXIO) or self._is_gone():
            return DeviceGone(
                f"{said}: the device is gone",
                hint="Close it; after it is plugged in again open it anew",
            )
        if refusals.is_denial(error):
            return PermissionRefused(
                said, hint="The kernel is locked down, or sysfs is read-only; VFIO needs neither"
            )
        fault = AccessFault(said, hint="See the kernel's log", **place)
        fault.cause_code = error.errno or 0
        return fault

    def _cut_off(self, done: int, place: _Place) -> PymmioError:
        if not done and place["offset"] >= PUBLIC_CONFIG and self.info.name == "config":
            return PermissionRefused(
                f"{_said(place)}: the kernel shows this user the first {PUBLIC_CONFIG} bytes only",
                hint="Capabilities and extended capabilities need CAP_SYS_ADMIN: run as root",
            )
        return AccessFault(f"{_said(place)}: the kernel transferred {done} bytes", **place)


class MemoryRegion:
    """A RegionHandle of a BAR that is memory, which sysfs offers as a mapping only.

    ``mapped`` makes a mapping of the handle's own for single accesses, when they come; whoever
    uses ``mmap_source`` makes another.
    """

    def __init__(
        self,
        info: RegionInfo,
        file: OpenFile,
        page_offset: int,
        mapped: Callable[[], MappedRegion],
    ) -> None:
        self.info = info
        self._file = file
        self._page_offset = page_offset
        self._make = mapped
        self._own: MappedRegion | None = None
        self._lock = threading.Lock()

    def _mapped(self) -> MappedRegion:
        with self._lock:
            if self._own is None:
                self._own = self._make()
            return self._own

    def read(self, offset: int, width: int) -> int:
        """Make one load."""
        return self._mapped().read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Make one store."""
        self._mapped().write(offset, width, value)

    def mmap_source(self) -> tuple[int, int]:
        """Return the descriptor; a BAR smaller than a page may start inside one."""
        return self._file.fd, self._page_offset

    def pread_source(self) -> None:
        """The kernel offers no calls for memory."""
        return

    def close(self) -> None:
        """Unmap what the handle has mapped."""
        if self._own is not None:
            self._own.close()


def _said(place: _Place) -> str:
    kind = "write" if place["is_write"] else "read"
    return f"{place['region']}: {kind} of {place['width']} bytes at {place['offset']:#x}"
