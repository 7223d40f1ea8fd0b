"""What VFIO says about the regions of a device, checked."""

from __future__ import annotations

import errno
import mmap
from collections.abc import Container
from dataclasses import dataclass

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.capchain import ask, capabilities, read_pairs
from pymmio.backend.vfio.kernel import Kernel
from pymmio.errors import ProtocolError
from pymmio.handle import MappedArea, RegionInfo

__all__ = ["RegionRecord", "read_region"]

_FILE_END = 1 << 63  # off_t: pread and mmap reach no further
_NAMES = {
    uapi.RegionIndex.ROM: "ROM",
    uapi.RegionIndex.CONFIG: "config",
    uapi.RegionIndex.VGA: "VGA",
}


@dataclass(frozen=True, slots=True)
class RegionRecord:
    """A region: what callers may know, and where it lies in the device's file.

    ``has_sparse_areas`` says that only ``info.mappable`` may be mapped,
    ``msix_is_mappable`` that the MSI-X table may be too.  ``is_io_port`` marks a BAR of
    I/O ports.
    """

    info: RegionInfo
    file_offset: int
    has_sparse_areas: bool = False
    msix_is_mappable: bool = False
    is_io_port: bool = False


def read_region(
    kernel: Kernel, device_fd: int, index: int, io_port_bars: Container[int] = ()
) -> RegionRecord | None:
    """Ask the kernel about a region; None where the device has none of this index.

    Raises OSError as the ioctl does, ProtocolError where the answer contradicts itself.
    """
    name = _NAMES.get(uapi.RegionIndex(index)) if index in _INDICES else None
    name = name or (f"BAR{index}" if index <= uapi.RegionIndex.BAR5 else f"region{index}")
    request, layout = uapi.DEVICE_GET_REGION_INFO, uapi.REGION_INFO
    try:
        answer = ask(kernel, device_fd, request, layout, 0, index, 0, 0, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:  # how vfio-pci says that there is no VGA region
            return None
        raise
    _, flags, _, cap_offset, size, file_offset = layout.unpack_from(answer)
    if size == 0:
        return None
    if file_offset + size > _FILE_END:
        raise ProtocolError(f"{name}: {size:#x} bytes at {file_offset:#x} of the device's file")

    sparse: tuple[MappedArea, ...] | None = None
    msix_is_mappable = False
    if flags & uapi.RegionFlags.CAPS:
        for cap in capabilities(answer, cap_offset, layout.size, name):
            if cap.version != 1:
                continue
            if cap.id == uapi.RegionCap.SPARSE_MMAP:
                sparse = _areas(read_pairs(cap, f"{name}, sparse areas"), size, name)
            elif cap.id == uapi.RegionCap.MSIX_MAPPABLE:
                msix_is_mappable = True
    mappable: tuple[MappedArea, ...] = ()
    if flags & uapi.RegionFlags.MMAP:
        mappable = (MappedArea(0, size),) if sparse is None else sparse
    return RegionRecord(
        info=RegionInfo(
            index=index,
            name=name,
            size=size,
            readable=bool(flags & uapi.RegionFlags.READ),
            writable=bool(flags & uapi.RegionFlags.WRITE),
            mappable=mappable,
        ),
        file_offset=file_offset,
        has_sparse_areas=sparse is not None,
        msix_is_mappable=msix_is_mappable,
        is_io_port=index in io_port_bars,
    )


_INDICES = frozenset(uapi.RegionIndex)


def _areas(pairs: tuple[tuple[int, int], ...], size: int, name: str) -> tuple[MappedArea, ...]:
    """Check the areas, sort them, and leave out what no page boundary allows to map."""
    areas: list[MappedArea] = []
    for offset, length in sorted(pairs):
        if offset + length > size:
            raise ProtocolError(
                f"{name}: the mappable area {offset:#x}+{length:#x} ends behind the region's "
                f"{size:#x} bytes",
                hint="The kernel's answer is broken; update the kernel or the VFIO driver",
            )
        if areas and offset < areas[-1].offset + areas[-1].size:
            raise ProtocolError(f"{name}: mappable areas overlap at {offset:#x}")
        if length and offset % mmap.PAGESIZE == 0:
            areas.append(MappedArea(offset, length))
    return tuple(areas)
