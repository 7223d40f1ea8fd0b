"""What a device is, and its regions (vfio-user 0.1, DEVICE_GET_INFO and _REGION_INFO)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from pymmio.backend.vfio_user.messages.wire import (
    U64_MAX,
    check_range,
    layout,
    take,
)
from pymmio.errors import ProtocolError

__all__ = [
    "DEVICE_INFO_SIZE",
    "REGION_INFO_SIZE",
    "DeviceFlags",
    "DeviceInfo",
    "RegionFlags",
    "RegionInfoReply",
    "RegionInfoRequest",
    "RegionType",
    "SparseArea",
]

_DEVICE = layout("IIII")
_REGION = layout("IIIIQQ")
_CAPABILITY = layout("HHI")
_COUNT = layout("II")
_AREA = layout("QQ")
_TYPE = layout("II")
DEVICE_INFO_SIZE = _DEVICE.size
REGION_INFO_SIZE = _REGION.size
_FILE_END = 1 << 63  # off_t
_CAP_SPARSE_MMAP = 1
_CAP_TYPE = 2
_CAP_MSIX_MAPPABLE = 3


class DeviceFlags(enum.IntFlag):
    """Attributes of a device (linux/vfio.h, struct vfio_device_info)."""

    RESET = 0x1
    PCI = 0x2


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """DEVICE_GET_INFO: the request (all but ``argsz`` is 0) and the reply."""

    flags: int = 0
    num_regions: int = 0
    num_irqs: int = 0
    argsz: int = DEVICE_INFO_SIZE

    def pack(self) -> bytes:
        return _DEVICE.pack(self.argsz, self.flags, self.num_regions, self.num_irqs)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse either; a longer one is from a later edition."""
        argsz, flags, regions, irqs = take(_DEVICE, payload, "DEVICE_GET_INFO")
        if argsz < _DEVICE.size:
            raise ProtocolError(f"DEVICE_GET_INFO with room for {argsz} bytes")
        return cls(flags, regions, irqs, argsz)


class RegionFlags(enum.IntFlag):
    """Attributes of a region (linux/vfio.h, struct vfio_region_info)."""

    READ = 0x1
    WRITE = 0x2
    MMAP = 0x4  #: the reply brings a descriptor
    CAPS = 0x8


@dataclass(frozen=True, slots=True)
class SparseArea:
    """A part of a region that can be mapped; ``offset`` counts from the region's beginning."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class RegionType:
    """What a region of the device's own is (VFIO_REGION_INFO_CAP_TYPE)."""

    type: int
    subtype: int


@dataclass(frozen=True, slots=True)
class RegionInfoRequest:
    """Ask about a region; ``room`` is how long the payload of the reply may be."""

    index: int
    room: int = REGION_INFO_SIZE

    def pack(self) -> bytes:
        return _REGION.pack(self.room, 0, self.index, 0, 0, 0)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        room, _, index, *_ = take(_REGION, payload, "DEVICE_GET_REGION_INFO")
        if room < _REGION.size:
            raise ProtocolError(f"DEVICE_GET_REGION_INFO with room for {room} bytes")
        return cls(index, room)


@dataclass(frozen=True, slots=True)
class RegionInfoReply:
    """A region: attributes, size, where it lies in the descriptor that came with it.

    ``areas`` is None where nothing was said: with MMAP, all of the region can be mapped.
    ``needed`` is the size of the whole reply; where that is larger than what came, the
    capabilities are missing: ask again with that much room.  Packing computes it.
    """

    index: int
    size: int
    flags: int = 0
    offset: int = 0
    areas: tuple[SparseArea, ...] | None = None
    type: RegionType | None = None
    msix_is_mappable: bool = False
    needed: int = 0

    def pack(self, room: int = U64_MAX) -> bytes:
        """Return the payload; without capabilities where ``room`` is too small for them."""
        bodies: list[tuple[int, bytes]] = []
        if self.areas is not None:
            areas = b"".join(_AREA.pack(area.offset, area.size) for area in self.areas)
            bodies.append((_CAP_SPARSE_MMAP, _COUNT.pack(len(self.areas), 0) + areas))
        if self.type is not None:
            bodies.append((_CAP_TYPE, _TYPE.pack(self.type.type, self.type.subtype)))
        if self.msix_is_mappable:
            bodies.append((_CAP_MSIX_MAPPABLE, b""))
        chain = b""
        for position, (kind, body) in enumerate(bodies):
            here = _REGION.size + len(chain) + _CAPABILITY.size + len(body)
            following = here if position + 1 < len(bodies) else 0
            chain += _CAPABILITY.pack(kind, 1, following) + body
        needed = _REGION.size + len(chain)
        has_room = bool(chain) and needed <= room
        # QEMU 11.1 takes CAPS without an offset for a fault; the size alone says "ask again".
        flags = self.flags | RegionFlags.CAPS if has_room else self.flags & ~RegionFlags.CAPS
        first = _REGION.size if has_room else 0
        fixed = _REGION.pack(needed, flags, self.index, first, self.size, self.offset)
        return fixed + chain if has_room else fixed

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse a reply.  Raises ProtocolError where a count or an offset points outside."""
        what = "the reply to DEVICE_GET_REGION_INFO"
        needed, flags, index, first, size, offset = take(_REGION, payload, what)
        if needed < _REGION.size:
            raise ProtocolError(f"{what} claims {needed} bytes")
        if flags & RegionFlags.MMAP:
            check_range(offset, size, _FILE_END, f"{what}: region {index} in its file")
        found: dict[int, bytes] = {}
        if flags & RegionFlags.CAPS and needed <= len(payload):
            found = _chain(payload, first, what)
        areas = _areas(found[_CAP_SPARSE_MMAP], size, what) if _CAP_SPARSE_MMAP in found else None
        kind = None
        if _CAP_TYPE in found:
            kind = RegionType(*take(_TYPE, found[_CAP_TYPE], f"{what}: its type"))
        msix = _CAP_MSIX_MAPPABLE in found
        return cls(index, size, flags, offset, areas, kind, msix, needed)


def _chain(payload: bytes, first: int, what: str) -> dict[int, bytes]:
    """Return what stands behind the header of each capability, up to the end of the payload."""
    found: dict[int, bytes] = {}
    seen: set[int] = set()
    at = first
    while at:
        if at < _REGION.size or at % 4 or at in seen or at > len(payload) - _CAPABILITY.size:
            raise ProtocolError(f"{what} has a capability at {at:#x} of {len(payload):#x} bytes")
        seen.add(at)
        kind, _, following = _CAPABILITY.unpack_from(payload, at)
        found.setdefault(kind, payload[at + _CAPABILITY.size :])
        at = following
    return found


def _areas(body: bytes, size: int, what: str) -> tuple[SparseArea, ...]:
    count, _ = take(_COUNT, body, f"{what}: the areas that can be mapped")
    if count > (len(body) - _COUNT.size) // _AREA.size:
        raise ProtocolError(f"{what} claims {count} areas in {len(body)} bytes")
    areas = []
    for position in range(count):
        area = SparseArea(*_AREA.unpack_from(body, _COUNT.size + position * _AREA.size))
        check_range(area.offset, area.size, size, f"{what}: an area")
        areas.append(area)
    return tuple(areas)
