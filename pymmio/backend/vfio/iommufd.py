"""An I/O address space of iommufd (/dev/iommu), and DMA through it.

Source: Linux 6.12, include/uapi/linux/iommufd.h, Documentation/userspace-api/iommufd.rst and
drivers/iommu/iommufd/ioas.c.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from pymmio.backend.vfio import cdev_refusals, refusals
from pymmio.backend.vfio import iommufd_uapi as uapi
from pymmio.backend.vfio.aperture import Aperture, checked_ranges, memlock_limit
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.sharing import Shared
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.errors import BudgetExceeded, DmaError, ProtocolError, PymmioError
from pymmio.handle import Iova, IovaRange

__all__ = ["AddressSpace", "IoasDma"]

_FIRST_GUESS = 8  # an Intel IOMMU has two ranges; with further reserved memory some more
_MAX_RANGES = 1 << 16


class AddressSpace:
    """An IOAS in an iommufd of its own; goes with the last device that is attached to it."""

    def __init__(self, kernel: Kernel, iommufd: Descriptor, ioas_id: int) -> None:
        self._kernel = kernel
        self._iommufd = iommufd
        self.ioas_id = ioas_id
        self.dma = IoasDma(kernel, iommufd, ioas_id)
        self.shared = Shared("the address space")

    @classmethod
    def open(cls, kernel: Kernel, function: PciFunction) -> AddressSpace:
        """Open /dev/iommu and make an IOAS; the caller is its first user.

        Raises PermissionRefused or Unsupported, with nothing left open.
        """
        path = cdev_refusals.IOMMU_PATH
        argument = bytearray(uapi.IOAS_ALLOC_ARGUMENT.pack(uapi.IOAS_ALLOC_ARGUMENT.size, 0, 0))
        with ExitStack() as undo:
            try:
                iommufd = Descriptor(kernel, kernel.open(path, os.O_RDWR), path)
                undo.callback(iommufd.close)
                kernel.ioctl(iommufd.fd, uapi.IOAS_ALLOC, argument)
            except OSError as error:
                raise cdev_refusals.cannot_open_iommu(kernel, function, error) from error
            undo.pop_all()
        return cls(kernel, iommufd, uapi.IOAS_ALLOC_ARGUMENT.unpack(argument)[2])

    @property
    def fd(self) -> int:
        """The iommufd, to which devices are bound.  Raises Closed or ForkedObject."""
        return self._iommufd.fd

    def leave(self, function: PciFunction) -> None:
        """Let ``function`` go, whose descriptor was closed; with the last one take all down.

        Raises DeviceBusy, with all of ours closed, where the kernel still has it attached.
        """
        if not self.shared.leave():
            return
        with ExitStack() as steps:
            steps.callback(self._iommufd.close)
            if not self._iommufd.is_ours:
                return
            size = uapi.DESTROY_ARGUMENT.size
            argument = bytearray(uapi.DESTROY_ARGUMENT.pack(size, self.ioas_id))
            try:
                self._kernel.ioctl(self._iommufd.fd, uapi.DESTROY, argument)
            except OSError as error:
                raise refusals.still_held(function, error) from error

    def after_fork(self) -> None:
        """Let the parent's descriptor go in a child, without any ioctl."""
        self._iommufd.after_fork()
        self.shared.after_fork()


class IoasDma:
    """DmaHandle of an IOAS; the address space closes the descriptor."""

    def __init__(self, kernel: Kernel, iommufd: Descriptor, ioas_id: int) -> None:
        self._kernel = kernel
        self._iommufd = iommufd
        self._ioas_id = ioas_id
        self._aperture = Aperture((), 1)

    def refresh(self) -> None:
        """Ask which IOVAs are usable; they are known and true after a device was attached.

        Raises OSError as the kernel does, and ProtocolError where its answer is nonsense.
        """
        self._aperture = _read_aperture(self._kernel, self._iommufd.fd, self._ioas_id)

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """Usable addresses, in order, without what the platform reserves."""
        return self._aperture.ranges

    @property
    def page_size(self) -> int:
        """Smallest mapping and alignment of IOVAs, in bytes."""
        return self._aperture.page_size

    @property
    def max_mappings(self) -> int:
        """No limit: iommufd has none but memory."""
        return sys.maxsize

    @property
    def pins_memory(self) -> bool:
        """True: iommufd pins at once and charges it to the user, across all processes."""
        return True

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Pin the ``size`` bytes at ``address`` and let the device read and write them.

        The memory is found by address; ``fd`` and ``fd_offset`` are not needed here.
        Raises BudgetExceeded or DmaError.
        """
        flags = uapi.MapFlags.FIXED_IOVA | uapi.MapFlags.WRITEABLE | uapi.MapFlags.READABLE
        layout = uapi.IOAS_MAP_ARGUMENT
        argument = layout.pack(layout.size, flags, self._ioas_id, 0, address, size, iova)
        try:
            self._kernel.ioctl(self._iommufd.fd, uapi.IOAS_MAP, bytearray(argument))
        except OSError as error:
            raise self._map_error(error, iova, size) from error

    def unmap(self, iova: Iova, size: int) -> None:
        """Take a whole former mapping away; the device cannot reach it any more afterwards.

        Raises DmaError where the kernel refuses or has something else mapped there.
        """
        layout = uapi.IOAS_UNMAP_ARGUMENT
        argument = bytearray(layout.pack(layout.size, self._ioas_id, iova, size))
        what = f"unmapping {size:#x} bytes at IOVA {iova:#x}"
        hint = "Unmap exactly what was mapped: same address, same size"
        try:
            self._kernel.ioctl(self._iommufd.fd, uapi.IOAS_UNMAP, argument)
        except OSError as error:
            raise DmaError(f"{what} failed: {reason(error)}", hint=hint) from error
        unmapped = layout.unpack(argument)[3]
        if unmapped != size:
            raise DmaError(f"{what}: the kernel unmapped {unmapped:#x} bytes", hint=hint)

    def _map_error(self, error: OSError, iova: int, size: int) -> PymmioError:
        if error.errno == errno.ENOMEM:
            return BudgetExceeded(
                f"mapping {size:#x} bytes at IOVA {iova:#x} failed: {reason(error)}; memlock "
                f"limit {memlock_limit()}, which user {os.getuid()} shares among all processes",
                hint="iommufd charges pinned memory to the user: raise RLIMIT_MEMLOCK (ulimit -l, "
                "LimitMEMLOCK= of a systemd unit, /etc/security/limits.conf), close other "
                "programs of this user that have devices open, or map less",
            )
        return self._aperture.map_error(error, iova, size)


def _read_aperture(kernel: Kernel, fd: int, ioas_id: int) -> Aperture:
    what = "IOVA ranges"
    layout, item = uapi.IOVA_RANGES_ARGUMENT, uapi.IOVA_RANGE
    room = _FIRST_GUESS
    while True:
        array = bytearray(room * item.size)
        # The kernel writes through this pointer: ``array`` must not go or change its size.
        pointer = ctypes.addressof(ctypes.c_char.from_buffer(array))
        argument = bytearray(layout.pack(layout.size, ioas_id, room, 0, pointer, 0))
        try:
            kernel.ioctl(fd, uapi.IOAS_IOVA_RANGES, argument)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
        _, _, count, _, _, alignment = layout.unpack(argument)
        if count <= room:
            break
        if count > _MAX_RANGES:
            raise ProtocolError(
                f"{what}: the kernel announces {count} of them",
                hint="The kernel's answer is broken; update the kernel",
            )
        room = count
    if alignment == 0 or alignment & (alignment - 1):
        raise ProtocolError(f"{what}: an alignment of {alignment} bytes is no power of two")
    pairs = [item.unpack_from(array, index * item.size) for index in range(count)]
    return Aperture(checked_ranges(pairs, what), alignment)
