"""Single accesses to a region through pread and pwrite on the device's descriptor.

Source: Linux 6.12, drivers/vfio/pci/vfio_pci_rdwr.c and vfio_pci_config.c.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.region_info import RegionRecord
from pymmio.errors import (
    AccessError,
    AccessFault,
    DeviceGone,
    Misaligned,
    PymmioError,
    ReadOnly,
    WidthRefused,
    WriteOnly,
)
from pymmio.handle import MappedArea, RegionInfo

__all__ = ["VfioRegion"]

_BARS = range(uapi.RegionIndex.BAR0, uapi.RegionIndex.BAR5 + 1)


class _Place(TypedDict):
    region: str
    offset: int
    width: int
    is_write: bool
    value: int | None


@dataclass(frozen=True, slots=True)
class VfioRegion:
    """RegionHandle of a VFIO region.

    ``msix_table`` is the part of a BAR that VFIO hides from pread and pwrite: it would
    answer ones and drop what is written.  ``qword_is_one_access`` says whether the kernel
    makes one access of eight bytes; ``is_gone`` asks whether the device still exists.
    ``ports_are_on`` asks for COMMAND's I/O bit before each access to I/O ports: unlike memory,
    VFIO does not look at it, and nobody would answer.
    """

    kernel: Kernel
    device: Descriptor
    record: RegionRecord
    qword_is_one_access: bool
    is_gone: Callable[[], bool]
    ports_are_on: Callable[[], bool]
    msix_table: MappedArea | None = None

    @property
    def info(self) -> RegionInfo:
        return self.record.info

    def read(self, offset: int, width: int) -> int:
        """Make exactly one read by pread and return it as a little-endian number.

        Raises Misaligned or WidthRefused for what the kernel would split, AccessError for
        the MSI-X table, AccessFault, and DeviceGone.
        """
        place = self._place(offset, width)
        self._check(place)
        try:
            data = self.kernel.pread(self.device.fd, width, self.record.file_offset + offset)
        except OSError as error:
            raise self._fault(error, place) from error
        if len(data) != width:
            raise self._cut_off(len(data), place)
        return int.from_bytes(data, "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """Make exactly one write by pwrite; raises as :meth:`read` does.

        A write that raises nothing has been handed to the bus and no more than that.
        """
        place = self._place(offset, width, value)
        self._check(place)
        data = value.to_bytes(width, "little")
        try:
            done = self.kernel.pwrite(self.device.fd, data, self.record.file_offset + offset)
        except OSError as error:
            raise self._fault(error, place) from error
        if done != width:
            raise self._cut_off(done, place)

    def mmap_source(self) -> tuple[int, int] | None:
        """Return the device's descriptor and where the region begins; None if unmappable."""
        if not self.info.mappable:
            return None
        return self.device.fd, self.record.file_offset

    def pread_source(self) -> tuple[int, int] | None:
        """Return the device's descriptor and where the region begins.

        Whoever uses it takes over the checks of :meth:`read`: alignment, eight bytes, the
        MSI-X table, short counts.
        """
        return self.device.fd, self.record.file_offset

    def _place(self, offset: int, width: int, value: int | None = None) -> _Place:
        return {
            "region": self.info.name,
            "offset": offset,
            "width": width,
            "is_write": value is not None,
            "value": value,
        }

    def _check(self, place: _Place) -> None:
        """Refuse what VFIO would not do as one access, or not do at all."""
        offset, width = place["offset"], place["width"]
        if place["is_write"] and not self.info.writable:
            raise ReadOnly(f"{_said(place)}: VFIO offers the region for reading only", **place)
        if not place["is_write"] and not self.info.readable:
            raise WriteOnly(f"{_said(place)}: VFIO offers the region for writing only", **place)
        if offset % width:
            raise Misaligned(
                f"{_said(place)}: VFIO would split it into aligned pieces",
                hint="Use an aligned offset, or AccessRule(otherwise=Violation.SPLIT)",
                **place,
            )
        if width == 8 and not self._takes_qwords():
            raise self._qword_refused(place)
        if self.record.is_io_port and not self.ports_are_on():
            raise AccessFault(
                f"{_said(place)}: I/O decoding is off in COMMAND, the device would not answer",
                hint="Switch it on: dev.config.update_command(on=Command.IO)",
                **place,
            )
        table = self.msix_table
        if table and offset < table.offset + table.size and table.offset < offset + width:
            raise AccessError(
                f"{_said(place)}: the MSI-X table is there, which VFIO hides from pread and "
                "pwrite (reads would give ones, writes would be dropped)",
                hint="MSI-X is set up with dev.irqs.msix; to look at the table map the region "
                "(access='mapped') where that is offered",
                **place,
            )

    def _takes_qwords(self) -> bool:
        in_memory = self.info.index in _BARS and not self.record.is_io_port
        return in_memory and self.qword_is_one_access

    def _qword_refused(self, place: _Place) -> WidthRefused:
        if self.info.index not in _BARS or self.record.is_io_port:
            why = "such a region takes at most 4 bytes at once"
        else:
            why = (
                f"the VFIO of Linux {self.kernel.release()} on {self.kernel.machine()} would "
                "make two accesses of it"
            )
        return WidthRefused(
            f"{_said(place)}: {why}",
            hint="Map the region, or say how to split: "
            "AccessRule(device_widths=frozenset({1, 2, 4}), order64=Order.LOW_FIRST)",
            **place,
        )

    def _fault(self, error: OSError, place: _Place) -> PymmioError:
        if error.errno in (errno.ENODEV, errno.ENXIO) or self.is_gone():
            return DeviceGone(
                f"{_said(place)}: the device is gone ({reason(error)})",
                hint="Close it; after it is plugged in again open it anew",
            )
        if error.errno == errno.EIO:
            hint = (
                "VFIO refuses accesses while memory decoding is off in COMMAND or the function "
                "sleeps (D3hot): switch dev.config.command's MEMORY bit on, wake it to D0"
            )
        else:
            hint = "See the kernel's log"
        fault = AccessFault(f"{_said(place)}: {reason(error)}", hint=hint, **place)
        fault.cause_code = error.errno or 0
        return fault

    def _cut_off(self, done: int, place: _Place) -> AccessFault:
        return AccessFault(
            f"{_said(place)}: VFIO transferred {done} bytes",
            hint="The region is shorter than VFIO says, or the access was cut off half-way",
            **place,
        )


def _said(place: _Place) -> str:
    kind = "write" if place["is_write"] else "read"
    return f"{place['region']}: {kind} of {place['width']} bytes at {place['offset']:#x}"
