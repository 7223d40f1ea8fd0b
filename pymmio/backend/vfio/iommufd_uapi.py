"""Numbers and structures of <linux/iommufd.h>, written once.

Sizes and offsets are the same on all architectures; integers are in the byte order of the
running machine.  Source: Linux 6.12, include/uapi/linux/iommufd.h.
"""

from __future__ import annotations

import enum
import struct

from pymmio.backend.vfio.uapi import request_number

__all__ = [
    "ALL",
    "DESTROY",
    "DESTROY_ARGUMENT",
    "IOAS_ALLOC",
    "IOAS_ALLOC_ARGUMENT",
    "IOAS_IOVA_RANGES",
    "IOAS_MAP",
    "IOAS_MAP_ARGUMENT",
    "IOAS_UNMAP",
    "IOAS_UNMAP_ARGUMENT",
    "IOVA_RANGE",
    "IOVA_RANGES_ARGUMENT",
    "MapFlags",
]

_FIRST = 0x80 - 100  # IOMMUFD_CMD_BASE; both headers count within the type ';', VFIO from 100

DESTROY = request_number(_FIRST + 0)
IOAS_ALLOC = request_number(_FIRST + 1)
IOAS_IOVA_RANGES = request_number(_FIRST + 4)
IOAS_MAP = request_number(_FIRST + 5)
IOAS_UNMAP = request_number(_FIRST + 6)

DESTROY_ARGUMENT = struct.Struct("=II")  # size, id
IOAS_ALLOC_ARGUMENT = struct.Struct("=III")  # size, flags, out_ioas_id
# size, ioas_id, num_iovas, reserved, pointer to the array, out_iova_alignment
IOVA_RANGES_ARGUMENT = struct.Struct("=IIIIQQ")
IOVA_RANGE = struct.Struct("=QQ")  # first, last
# size, flags, ioas_id, reserved, user_va, length, iova
IOAS_MAP_ARGUMENT = struct.Struct("=IIIIQQQ")
IOAS_UNMAP_ARGUMENT = struct.Struct("=IIQQ")  # size, ioas_id, iova, length

ALL = (1 << 64) - 1  #: the length that, at IOVA 0, unmaps everything


class MapFlags(enum.IntFlag):
    """Flags of struct iommu_ioas_map, as the device sees the memory."""

    FIXED_IOVA = 1 << 0
    WRITEABLE = 1 << 1
    READABLE = 1 << 2
