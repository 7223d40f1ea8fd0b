"""Numbers and structures of <linux/vfio.h>, written once.

Sizes and offsets are the same on all architectures; integers are in the byte order of the
running machine ("=": native order, standard sizes, no padding but what is written here).
Source: Linux 6.12, include/uapi/linux/vfio.h; Documentation/driver-api/vfio.rst.
"""

from __future__ import annotations

import enum
import os
import struct

__all__ = [
    "ATTACH_IOMMUFD_PT",
    "BIND_IOMMUFD",
    "BIND_IOMMUFD_TOKEN",
    "BIND_WITH_TOKEN",
    "CAP_HEADER",
    "CHECK_EXTENSION",
    "DETACH_IOMMUFD_PT",
    "DEVICE_ATTACH_IOMMUFD_PT",
    "DEVICE_BIND_IOMMUFD",
    "DEVICE_DETACH_IOMMUFD_PT",
    "DEVICE_FEATURE",
    "DEVICE_FEATURE_HEADER",
    "DEVICE_GET_INFO",
    "DEVICE_GET_IRQ_INFO",
    "DEVICE_GET_REGION_INFO",
    "DEVICE_INFO",
    "DEVICE_RESET",
    "DEVICE_SET_IRQS",
    "DMA_AVAIL_BODY",
    "DMA_MAP",
    "DMA_UNMAP",
    "FD_ARGUMENT",
    "GET_API_VERSION",
    "GROUP_GET_DEVICE_FD",
    "GROUP_GET_STATUS",
    "GROUP_SET_CONTAINER",
    "GROUP_STATUS",
    "GROUP_UNSET_CONTAINER",
    "IOMMU_GET_INFO",
    "IOMMU_INFO",
    "IOMMU_MAP_DMA",
    "IOMMU_UNMAP_DMA",
    "IRQ_INFO",
    "IRQ_SET",
    "LIST_HEADER",
    "NOIOMMU_IOMMU",
    "PAIR_OF_U64",
    "REGION_INFO",
    "SET_IOMMU",
    "TYPE1V2_IOMMU",
    "API_VERSION",
    "DeviceFlags",
    "DmaMapFlags",
    "FeatureFlags",
    "GroupFlags",
    "IommuCap",
    "IommuInfoFlags",
    "IrqIndex",
    "IrqInfoFlags",
    "IrqSetFlags",
    "RegionCap",
    "RegionFlags",
    "RegionIndex",
    "request_number",
]

API_VERSION = 0
TYPE1V2_IOMMU = 3
NOIOMMU_IOMMU = 8

_TYPE = ord(";")
_BASE = 100
_NUMBER_BITS = 8
_NO_DIRECTION = 0  # asm-generic/ioctl.h: _IOC_NONE
_NO_DIRECTION_ELSEWHERE = 1 << 29  # _IOC_NONE is 1, at bit 29, on these:
_ELSEWHERE = ("ppc", "powerpc", "mips", "sparc", "alpha")


def request_number(number: int, machine: str | None = None) -> int:
    """Return the ioctl request ``_IO(';', 100 + number)`` of ``machine`` (default: this one).

    Source: include/uapi/asm-generic/ioctl.h, arch/powerpc/include/uapi/asm/ioctl.h.
    """
    name = os.uname().machine if machine is None else machine
    direction = _NO_DIRECTION_ELSEWHERE if name.startswith(_ELSEWHERE) else _NO_DIRECTION
    return direction | _TYPE << _NUMBER_BITS | (_BASE + number)


# container
GET_API_VERSION = request_number(0)
CHECK_EXTENSION = request_number(1)
SET_IOMMU = request_number(2)
# group
GROUP_GET_STATUS = request_number(3)
GROUP_SET_CONTAINER = request_number(4)
GROUP_UNSET_CONTAINER = request_number(5)
GROUP_GET_DEVICE_FD = request_number(6)
# device
DEVICE_GET_INFO = request_number(7)
DEVICE_GET_REGION_INFO = request_number(8)
DEVICE_GET_IRQ_INFO = request_number(9)
DEVICE_SET_IRQS = request_number(10)
DEVICE_RESET = request_number(11)
DEVICE_FEATURE = request_number(17)
DEVICE_BIND_IOMMUFD = request_number(18)
DEVICE_ATTACH_IOMMUFD_PT = request_number(19)
DEVICE_DETACH_IOMMUFD_PT = request_number(20)
# type1 IOMMU, on the container
IOMMU_GET_INFO = request_number(12)
IOMMU_MAP_DMA = request_number(13)
IOMMU_UNMAP_DMA = request_number(14)

FD_ARGUMENT = struct.Struct("=i")  # __s32: a descriptor
GROUP_STATUS = struct.Struct("=II")  # argsz, flags
DEVICE_INFO = struct.Struct("=IIIII")  # argsz, flags, num_regions, num_irqs, cap_offset
REGION_INFO = struct.Struct("=IIIIQQ")  # argsz, flags, index, cap_offset, size, offset
IRQ_INFO = struct.Struct("=IIII")  # argsz, flags, index, count
IRQ_SET = struct.Struct("=IIIII")  # argsz, flags, index, start, count; then the data
IOMMU_INFO = struct.Struct("=IIQI4x")  # argsz, flags, iova_pgsizes, cap_offset, tail padding
DMA_MAP = struct.Struct("=IIQQQ")  # argsz, flags, vaddr, iova, size
DMA_UNMAP = struct.Struct("=IIQQ")  # argsz, flags, iova, size
BIND_IOMMUFD = struct.Struct("=IIiI")  # argsz, flags, iommufd, out_devid
BIND_IOMMUFD_TOKEN = struct.Struct("=IIiIQ")  # the same and token_uuid_ptr (Linux 6.18)
ATTACH_IOMMUFD_PT = struct.Struct("=III")  # argsz, flags, pt_id: in the IOAS, out the page table
DETACH_IOMMUFD_PT = struct.Struct("=II")  # argsz, flags
DEVICE_FEATURE_HEADER = struct.Struct("=II")  # argsz, flags; then the feature's data

CAP_HEADER = struct.Struct("=HHI")  # id, version, next
LIST_HEADER = struct.Struct("=II")  # number of entries, reserved (sparse mmap, IOVA ranges)
PAIR_OF_U64 = struct.Struct("=QQ")  # offset, size of an area; first, last of an IOVA range
DMA_AVAIL_BODY = struct.Struct("=I")  # avail


class GroupFlags(enum.IntFlag):
    """Flags of struct vfio_group_status."""

    VIABLE = 1 << 0
    CONTAINER_SET = 1 << 1


class DeviceFlags(enum.IntFlag):
    """Flags of struct vfio_device_info."""

    RESET = 1 << 0
    PCI = 1 << 1


BIND_WITH_TOKEN = 1 << 0  # VFIO_DEVICE_BIND_FLAG_TOKEN, of struct vfio_device_bind_iommufd


class FeatureFlags(enum.IntFlag):
    """Flags of struct vfio_device_feature; the low 16 bits are the feature's number."""

    PCI_VF_TOKEN = 0  #: the feature's number
    GET = 1 << 16
    SET = 1 << 17
    PROBE = 1 << 18


class RegionFlags(enum.IntFlag):
    """Flags of struct vfio_region_info."""

    READ = 1 << 0
    WRITE = 1 << 1
    MMAP = 1 << 2
    CAPS = 1 << 3


class RegionCap(enum.IntEnum):
    """Capabilities of struct vfio_region_info."""

    SPARSE_MMAP = 1
    TYPE = 2
    MSIX_MAPPABLE = 3


class RegionIndex(enum.IntEnum):
    """Region indices of vfio-pci; 0 to 5 are the BARs."""

    BAR0 = 0
    BAR5 = 5
    ROM = 6
    CONFIG = 7
    VGA = 8


class IrqIndex(enum.IntEnum):
    """Interrupt indices of vfio-pci."""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERR = 3
    REQ = 4


class IrqInfoFlags(enum.IntFlag):
    """Flags of struct vfio_irq_info."""

    EVENTFD = 1 << 0
    MASKABLE = 1 << 1
    AUTOMASKED = 1 << 2
    NORESIZE = 1 << 3


class IrqSetFlags(enum.IntFlag):
    """Flags of struct vfio_irq_set."""

    DATA_NONE = 1 << 0
    DATA_BOOL = 1 << 1
    DATA_EVENTFD = 1 << 2
    ACTION_MASK = 1 << 3
    ACTION_UNMASK = 1 << 4
    ACTION_TRIGGER = 1 << 5


class IommuInfoFlags(enum.IntFlag):
    """Flags of struct vfio_iommu_type1_info."""

    PGSIZES = 1 << 0
    CAPS = 1 << 1


class IommuCap(enum.IntEnum):
    """Capabilities of struct vfio_iommu_type1_info."""

    IOVA_RANGE = 1
    MIGRATION = 2
    DMA_AVAIL = 3


class DmaMapFlags(enum.IntFlag):
    """Flags of struct vfio_iommu_type1_dma_map, as the device sees the memory."""

    READ = 1 << 0
    WRITE = 1 << 1
