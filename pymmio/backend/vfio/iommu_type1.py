"""DMA through the type1 IOMMU interface of a VFIO container.

Source: Linux 6.12, drivers/vfio/vfio_iommu_type1.c and include/uapi/linux/vfio.h.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pymmio.backend.vfio import refusals, uapi
from pymmio.backend.vfio.aperture import (
    Aperture,
    checked_ranges,
    locked_memory,
    memlock_limit,
)
from pymmio.backend.vfio.capchain import ask, capabilities, read_pairs
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.errors import BudgetExceeded, DmaError, MappingLimit, ProtocolError, PymmioError
from pymmio.handle import Iova, IovaRange

__all__ = ["TYPE1", "IommuInfo", "Type1", "Type1Dma", "read_iommu_info"]

_WHAT = "IOMMU information"
# Kernels before 5.10 do not say their limit; this is what they have unless the module was
# loaded with another (vfio_iommu_type1.dma_entry_limit).
_UNSAID_LIMIT = 65535
# Kernels before 5.4 do not say the ranges: then the smallest address width that VT-d has
# (Intel VT-d 4.1 §3.6, 39 bits), without x86's interrupt window.
_UNSAID_RANGES = (IovaRange(0, 0xFEDF_FFFF), IovaRange(0xFEF0_0000, (1 << 39) - 1))


@dataclass(frozen=True, slots=True)
class IommuInfo:
    """What the IOMMU interface allows: usable IOVAs, page sizes in bytes, mappings left."""

    ranges: tuple[IovaRange, ...]
    page_sizes: tuple[int, ...]
    mappings_available: int

    @property
    def aperture(self) -> Aperture:
        """Where mappings may lie."""
        return Aperture(self.ranges, self.page_sizes[0])


def read_iommu_info(kernel: Kernel, container_fd: int) -> IommuInfo:
    """Ask the kernel.  Raises OSError, and ProtocolError where the answer is nonsense."""
    answer = ask(kernel, container_fd, uapi.IOMMU_GET_INFO, uapi.IOMMU_INFO, 0, 0, 0)
    _, flags, page_size_mask, cap_offset = uapi.IOMMU_INFO.unpack_from(answer)
    if not flags & uapi.IommuInfoFlags.PGSIZES or page_size_mask == 0:
        raise ProtocolError(f"{_WHAT}: the kernel names no page sizes")
    ranges: tuple[IovaRange, ...] = _UNSAID_RANGES
    available = _UNSAID_LIMIT
    if flags & uapi.IommuInfoFlags.CAPS:
        for cap in capabilities(answer, cap_offset, uapi.IOMMU_INFO.size, _WHAT):
            if cap.version != 1:
                continue
            if cap.id == uapi.IommuCap.IOVA_RANGE:
                ranges = checked_ranges(read_pairs(cap, f"{_WHAT}, IOVA ranges"), _WHAT)
            elif cap.id == uapi.IommuCap.DMA_AVAIL:
                if len(cap.body) < uapi.DMA_AVAIL_BODY.size:
                    raise ProtocolError(f"{_WHAT}: the number of mappings is cut off")
                (available,) = uapi.DMA_AVAIL_BODY.unpack_from(cap.body)
    sizes = tuple(1 << bit for bit in range(64) if page_size_mask >> bit & 1)
    return IommuInfo(_without_last_page(ranges, sizes[0]), sizes, available)


def _without_last_page(ranges: tuple[IovaRange, ...], page_size: int) -> tuple[IovaRange, ...]:
    """Leave out the last page of 64 bits of addresses: type1 maps it and cannot unmap it.

    vfio_dma_do_unmap compares with iova + size, which is 0 there (seen on Linux 6.12 behind a
    virtio-iommu).
    """
    last = (1 << 64) - 1 - page_size
    cut = (IovaRange(r.first, min(r.last, last)) for r in ranges)
    return tuple(r for r in cut if r.first <= r.last)


class Type1Dma:
    """DmaHandle of a container; the container's owner closes the descriptor."""

    def __init__(self, kernel: Kernel, container: Descriptor, info: IommuInfo) -> None:
        self._kernel = kernel
        self._container = container
        self._info = info

    def refresh(self) -> None:
        """Ask again: a further group in the container may leave fewer IOVAs usable.

        The limit of mappings stays what it was: what is left of it shrinks with each mapping.
        Raises OSError and ProtocolError as :func:`read_iommu_info`.
        """
        fresh = read_iommu_info(self._kernel, self._container.fd)
        self._info = replace(fresh, mappings_available=self._info.mappings_available)

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """Usable addresses, in order, without what the platform reserves."""
        return self._info.ranges

    @property
    def page_size(self) -> int:
        """Smallest mapping and alignment of IOVAs, in bytes."""
        return self._info.page_sizes[0]

    @property
    def max_mappings(self) -> int:
        """How many mappings the container had room for when it was opened."""
        return self._info.mappings_available

    @property
    def pins_memory(self) -> bool:
        """True: type1 pins at once and charges it to this process."""
        return True

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Pin the ``size`` bytes at ``address`` and let the device read and write them.

        The memory is found by address; ``fd`` and ``fd_offset`` are not needed here.
        Raises MappingLimit, BudgetExceeded or DmaError.
        """
        both = uapi.DmaMapFlags.READ | uapi.DmaMapFlags.WRITE
        argument = bytearray(uapi.DMA_MAP.pack(uapi.DMA_MAP.size, both, address, iova, size))
        try:
            self._kernel.ioctl(self._container.fd, uapi.IOMMU_MAP_DMA, argument)
        except OSError as error:
            raise self._map_error(error, iova, size) from error

    def unmap(self, iova: Iova, size: int) -> None:
        """Take a whole former mapping away; the device cannot reach it any more afterwards.

        Raises DmaError where the kernel refuses or has something else mapped there.
        """
        argument = bytearray(uapi.DMA_UNMAP.pack(uapi.DMA_UNMAP.size, 0, iova, size))
        what = f"unmapping {size:#x} bytes at IOVA {iova:#x}"
        try:
            self._kernel.ioctl(self._container.fd, uapi.IOMMU_UNMAP_DMA, argument)
        except OSError as error:
            raise DmaError(
                f"{what} failed: {reason(error)}",
                hint="Unmap exactly what was mapped: same address, same size",
            ) from error
        _, _, _, unmapped = uapi.DMA_UNMAP.unpack(argument)
        if unmapped != size:
            raise DmaError(
                f"{what}: the kernel unmapped {unmapped:#x} bytes",
                hint="Unmap exactly what was mapped: same address, same size",
            )

    def _map_error(self, error: OSError, iova: int, size: int) -> PymmioError:
        what = f"mapping {size:#x} bytes at IOVA {iova:#x} failed"
        match error.errno:
            case errno.ENOMEM:
                return BudgetExceeded(
                    f"{what}: {reason(error)}; memlock limit {memlock_limit()}, locked now "
                    f"{locked_memory(self._kernel)}",
                    hint="Pinned memory counts against RLIMIT_MEMLOCK: raise it (ulimit -l, "
                    "LimitMEMLOCK= of a systemd unit, /etc/security/limits.conf), or map less",
                )
            case errno.ENOSPC:
                return MappingLimit(
                    f"{what}: the container's limit of mappings is reached "
                    f"({self.max_mappings} when it was opened)",
                    hint="Map fewer, larger buffers; as root the limit is "
                    "vfio_iommu_type1.dma_entry_limit when the module is loaded",
                )
        return self._info.aperture.map_error(error, iova, size)


@dataclass(frozen=True, slots=True)
class Type1:
    """The IommuKind of machines with an IOMMU: type1, version 2."""

    interface: str = "group"
    extension: int = uapi.TYPE1V2_IOMMU

    def group_path(self, number: int) -> str:
        """Return ``/dev/vfio/N``."""
        return refusals.group_path(number)

    def missing(self) -> PymmioError:
        """Say which module is missing."""
        return refusals.missing_type1()

    def cannot_open_group(
        self, kernel: Kernel, function: PciFunction, number: int, error: OSError
    ) -> PymmioError:
        """Turn what open() said into words."""
        return refusals.cannot_open_group(kernel, function, number, error)

    def make_dma(self, kernel: Kernel, container: Descriptor) -> Type1Dma:
        """Ask the kernel about the IOMMU.  Raises OSError and ProtocolError."""
        return Type1Dma(kernel, container, read_iommu_info(kernel, container.fd))


TYPE1 = Type1()
