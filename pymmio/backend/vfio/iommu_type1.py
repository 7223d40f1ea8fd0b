"""DMA through the type1 IOMMU interface of a VFIO container.

Source: Linux 6.12, drivers/vfio/vfio_iommu_type1.c and include/uapi/linux/vfio.h.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Sequence
from dataclasses import dataclass

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.capchain import ask, capabilities, read_pairs
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.errors import BudgetExceeded, DmaError, MappingLimit, ProtocolError, PymmioError
from pymmio.handle import Iova, IovaRange

__all__ = ["IommuInfo", "Type1Dma", "read_iommu_info"]

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
                ranges = _checked(read_pairs(cap, f"{_WHAT}, IOVA ranges"))
            elif cap.id == uapi.IommuCap.DMA_AVAIL:
                if len(cap.body) < uapi.DMA_AVAIL_BODY.size:
                    raise ProtocolError(f"{_WHAT}: the number of mappings is cut off")
                (available,) = uapi.DMA_AVAIL_BODY.unpack_from(cap.body)
    sizes = tuple(1 << bit for bit in range(64) if page_size_mask >> bit & 1)
    return IommuInfo(ranges, sizes, available)


def _checked(pairs: tuple[tuple[int, int], ...]) -> tuple[IovaRange, ...]:
    ranges = tuple(sorted((IovaRange(*pair) for pair in pairs), key=lambda r: r.first))
    for number, this in enumerate(ranges):
        if this.first > this.last or (number and this.first <= ranges[number - 1].last):
            raise ProtocolError(
                f"{_WHAT}: {this.first:#x} to {this.last:#x} is no range of its own",
                hint="The kernel's answer is broken; update the kernel",
            )
    return ranges


class Type1Dma:
    """DmaHandle of a container; the container's owner closes the descriptor."""

    def __init__(self, kernel: Kernel, container: Descriptor, info: IommuInfo) -> None:
        self._kernel = kernel
        self._container = container
        self._info = info

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
                    f"{what}: {reason(error)}; {self._memlock()}",
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
            case errno.EEXIST:
                return DmaError(
                    f"{what}: something is mapped there already",
                    hint="Unmap it first, or take another address",
                )
            case errno.EINVAL:
                return DmaError(
                    f"{what}: {self._why_invalid(iova, size)}",
                    hint=f"Usable are {self._usable()}, in multiples of {self.page_size:#x}",
                )
            case errno.EFAULT:
                return DmaError(
                    f"{what}: the memory cannot be pinned for writing",
                    hint="It must be mapped readable and writable in this process and must "
                    "not be another device's BAR",
                )
        return DmaError(f"{what}: {reason(error)}", hint="See the kernel's log")

    def _why_invalid(self, iova: int, size: int) -> str:
        if size == 0 or iova % self.page_size or size % self.page_size:
            return f"address and size must be multiples of {self.page_size:#x}, size not 0"
        last = iova + size - 1
        if not any(r.first <= iova and last <= r.last for r in self._info.ranges):
            return f"{iova:#x} to {last:#x} is reserved, or beyond what the IOMMU translates"
        return "the kernel refuses the address, the size or the memory (EINVAL)"

    def _usable(self) -> str:
        return ", ".join(f"{r.first:#x} to {r.last:#x}" for r in self._info.ranges) or "no IOVAs"

    def _memlock(self) -> str:
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        said = "unlimited" if limit == resource.RLIM_INFINITY else f"{limit} bytes"
        return f"memlock limit {said}, locked now {self._locked()}"

    def _locked(self) -> str:
        try:
            status = self._kernel.read_text("/proc/self/status")
        except OSError:
            return "unknown"
        for line in status.splitlines():
            if line.startswith("VmLck:"):
                return line.partition(":")[2].strip()
        return "unknown"
