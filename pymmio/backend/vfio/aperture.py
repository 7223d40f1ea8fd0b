"""Where memory may be mapped for a device, and why the kernel refused a mapping."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterable
from dataclasses import dataclass

from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.errors import DmaError, ProtocolError
from pymmio.handle import IovaRange

__all__ = ["Aperture", "checked_ranges", "locked_memory", "memlock_limit"]


@dataclass(frozen=True, slots=True)
class Aperture:
    """Usable IOVAs, in order, and the smallest mapping and alignment in bytes."""

    ranges: tuple[IovaRange, ...]
    page_size: int

    def map_error(self, error: OSError, iova: int, size: int) -> DmaError:
        """Say why a mapping was refused, for the errors that all IOMMU interfaces share."""
        what = f"mapping {size:#x} bytes at IOVA {iova:#x} failed"
        match error.errno:
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
        if not any(r.first <= iova and last <= r.last for r in self.ranges):
            return f"{iova:#x} to {last:#x} is reserved, or beyond what the IOMMU translates"
        return "the kernel refuses the address, the size or the memory (EINVAL)"

    def _usable(self) -> str:
        return ", ".join(f"{r.first:#x} to {r.last:#x}" for r in self.ranges) or "no IOVAs"


def checked_ranges(pairs: Iterable[tuple[int, int]], what: str) -> tuple[IovaRange, ...]:
    """Sort ranges that the kernel named; raise ProtocolError where they make no sense."""
    ranges = tuple(sorted((IovaRange(*pair) for pair in pairs), key=lambda r: r.first))
    for number, this in enumerate(ranges):
        if this.first > this.last or (number and this.first <= ranges[number - 1].last):
            raise ProtocolError(
                f"{what}: {this.first:#x} to {this.last:#x} is no range of its own",
                hint="The kernel's answer is broken; update the kernel",
            )
    return ranges


def memlock_limit() -> str:
    """Say how much memory this process may lock."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return "unlimited" if limit == resource.RLIM_INFINITY else f"{limit} bytes"


def locked_memory(kernel: Kernel) -> str:
    """Say how much memory this process has locked, as the kernel counts it."""
    try:
        status = kernel.read_text("/proc/self/status")
    except OSError:
        return "unknown"
    for line in status.splitlines():
        if line.startswith("VmLck:"):
            return line.partition(":")[2].strip()
    return "unknown"
