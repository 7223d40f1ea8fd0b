"""VFIO without an IOMMU: nothing confines the device, addresses are those of physical memory.

Source: Linux 6.12, drivers/vfio/group.c, drivers/vfio/container.c (vfio_noiommu_ops) and
Documentation/admin-guide/mm/pagemap.rst.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from pymmio.backend.vfio import refusals, uapi
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.sysfs import PciFunction, directory, is_noiommu_group
from pymmio.errors import DmaError, PermissionRefused, PymmioError, Unsupported
from pymmio.handle import Iova, IovaRange

__all__ = ["NOIOMMU", "NoIommu", "NoIommuDma", "NoIommuWarning", "check", "warn"]

MODE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
_PAGEMAP = "/proc/self/pagemap"
_ENTRY = struct.Struct("=Q")  # one a page of the smallest size
_PRESENT = 1 << 63
_FRAME = (1 << 55) - 1


class NoIommuWarning(RuntimeWarning):
    """A device was opened without an IOMMU: what it does wrong hits the whole machine."""


@dataclass(frozen=True, slots=True)
class NoIommu:
    """The IommuKind of machines without one."""

    interface: str = "noiommu"
    extension: int = uapi.NOIOMMU_IOMMU

    def group_path(self, number: int) -> str:
        """Return ``/dev/vfio/noiommu-N``."""
        return f"/dev/vfio/noiommu-{number}"

    def missing(self) -> PymmioError:
        """Say that this kernel cannot do without."""
        return Unsupported(
            "this kernel's VFIO works with an IOMMU only now",
            hint=f"As root: echo 1 > {MODE} (the kernel needs CONFIG_VFIO_NOIOMMU)",
        )

    def cannot_open_group(
        self, kernel: Kernel, function: PciFunction, number: int, error: OSError
    ) -> PymmioError:
        """Turn what open() said into words."""
        path = self.group_path(number)
        if error.errno == errno.EPERM:
            return PermissionRefused(
                f"{path} ({function.address}) may not be opened by user {os.getuid()}: "
                f"{reason(error)}",
                hint="Without an IOMMU it takes the capability CAP_SYS_RAWIO: run it as root",
            )
        return refusals.cannot_open_group_node(kernel, function, path, error)

    def make_dma(self, kernel: Kernel, container: Descriptor) -> NoIommuDma:
        """Return the DmaHandle; there is nothing to ask the kernel about."""
        return NoIommuDma(kernel, container)


NOIOMMU = NoIommu()


def check(kernel: Kernel, function: PciFunction) -> None:
    """Raise Unsupported where the device has an IOMMU, or VFIO was not told to do without."""
    group = function.iommu_group
    address = function.address
    if group is not None and not is_noiommu_group(kernel, group):
        raise Unsupported(
            f"{address} has an IOMMU (group {group}): it is not opened without",
            hint="Leave interface=noiommu out: the IOMMU protects this machine",
        )
    if group is not None:
        return
    path = directory(address)
    again = f"echo {address} > {path}/driver/unbind; " if function.driver else ""
    if not kernel.exists(MODE):
        raise Unsupported(
            f"{address} has no IOMMU, and this kernel's VFIO cannot do without",
            hint="As root: modprobe vfio; where that brings no "
            f"{MODE} the kernel was built without CONFIG_VFIO_NOIOMMU",
        )
    raise Unsupported(
        f"{address} has no IOMMU, and VFIO was not told to do without when it was bound",
        hint=f"As root, if this machine may be put at risk: echo 1 > {MODE}; "
        f"echo vfio-pci > {path}/driver_override; {again}"
        f"echo {address} > /sys/bus/pci/drivers_probe",
    )


def warn(function: PciFunction) -> None:
    """Say what was given up."""
    warnings.warn(
        f"{function.address} is open without an IOMMU: the device, and every mistake in an "
        "address that it is given, reaches all memory of this machine; the kernel counts as "
        "tainted until the next boot",
        NoIommuWarning,
        stacklevel=2,
    )


class NoIommuDma:
    """DmaHandle where an address is where the memory lies; the container's owner closes it."""

    def __init__(self, kernel: Kernel, container: Descriptor) -> None:
        self._kernel = kernel
        self._container = container

    def refresh(self) -> None:
        """Nothing changes when further devices come in."""

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """All that a PCI device can address."""
        return (IovaRange(0, (1 << 64) - 1),)

    @property
    def page_size(self) -> int:
        """The processor's."""
        return mmap.PAGESIZE

    @property
    def max_mappings(self) -> int:
        """No limit: nothing is mapped."""
        return sys.maxsize

    @property
    def pins_memory(self) -> bool:
        """False: huge pages do not count against RLIMIT_MEMLOCK."""
        return False

    def place(self, address: int, size: int) -> Iova:
        """Return the physical address of memory, which must be there and in huge pages.

        Raises DmaError where it is scattered, PermissionRefused where the kernel hides it.
        """
        frames = self._frames(address, size)
        first = frames[0]
        for number, frame in enumerate(frames):
            if frame != first + number:
                raise DmaError(
                    f"{size:#x} bytes are scattered in physical memory: page {number} does not "
                    "follow the one before, and without an IOMMU nothing makes them one",
                    hint="Ask for at most one huge page, or boot with larger ones "
                    "(default_hugepagesz=1G hugepagesz=1G hugepages=N)",
                )
        return Iova(first * mmap.PAGESIZE)

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Check that the memory lies at ``iova``: the device reaches it as it reaches all.

        Raises DmaError where it does not, Closed after close.
        """
        _ = self._container.fd
        there = self.place(address, size)
        if there != iova:
            raise DmaError(
                f"the memory lies at {there:#x} and cannot be mapped at {iova:#x}",
                hint="Without an IOMMU the address follows from the place: see place()",
            )

    def unmap(self, iova: Iova, size: int) -> None:
        """Nothing can be taken away from the device; it must have been stopped."""

    def _frames(self, address: int, size: int) -> list[int]:
        """Return the numbers of the pages' frames."""
        count = size // mmap.PAGESIZE
        if count <= 0 or size % mmap.PAGESIZE or address % mmap.PAGESIZE:
            raise DmaError(f"{size:#x} bytes at {address:#x} are not whole pages")
        try:
            fd = self._kernel.open(_PAGEMAP, os.O_RDONLY)
            try:
                start = address // mmap.PAGESIZE * _ENTRY.size
                data = self._kernel.pread(fd, count * _ENTRY.size, start)
            finally:
                self._kernel.close(fd)
        except OSError as error:
            raise PermissionRefused(
                f"{_PAGEMAP} cannot be read: {reason(error)}", hint=_NEEDS_ROOT
            ) from error
        entries = [entry for (entry,) in _ENTRY.iter_unpack(data)]
        if len(entries) != count or not all(entry & _PRESENT for entry in entries):
            raise DmaError(
                f"{size:#x} bytes at {address:#x} are not all in memory",
                hint="Memory for a device without an IOMMU must be huge pages, written once",
            )
        if not all(entry & _FRAME for entry in entries):
            raise PermissionRefused(
                f"{_PAGEMAP} does not tell physical addresses", hint=_NEEDS_ROOT
            )
        return [entry & _FRAME for entry in entries]


_NEEDS_ROOT = "Physical addresses take the capability CAP_SYS_ADMIN: run it as root"
