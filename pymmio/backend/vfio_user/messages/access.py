"""Access to the regions of a device (vfio-user 0.1, REGION_READ, _WRITE, _WRITE_MULTI)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pymmio.backend.vfio_user.messages.wire import U64_MAX, check_range, check_size, layout, take
from pymmio.errors import ProtocolError

__all__ = ["MULTI_WRITE_SIZE", "RegionData", "RegionRequest", "WriteMulti", "WriteMultiReply"]

_ACCESS = layout("QII")
_COUNT = layout("Q")
_WRITE = layout("QII8s")
MULTI_WRITE_SIZE = _WRITE.size
_WIDEST = 8


@dataclass(frozen=True, slots=True)
class RegionRequest:
    """REGION_READ, and the reply to REGION_WRITE: where, and how many bytes."""

    region: int
    offset: int
    count: int

    def pack(self) -> bytes:
        return _ACCESS.pack(self.offset, self.region, self.count)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        check_size(payload, _ACCESS.size, "a region access")
        offset, region, count = _ACCESS.unpack(payload)
        check_range(offset, count, U64_MAX, "a region access")
        return cls(region, offset, count)


@dataclass(frozen=True, slots=True)
class RegionData:
    """REGION_WRITE, and the reply to REGION_READ: where, and the bytes in address order."""

    region: int
    offset: int
    data: bytes

    def pack(self) -> bytes:
        return _ACCESS.pack(self.offset, self.region, len(self.data)) + self.data

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse it.  Raises ProtocolError unless exactly as many bytes follow as it says."""
        offset, region, count = take(_ACCESS, payload, "region data")
        if count != len(payload) - _ACCESS.size:
            raise ProtocolError(f"region data of {count} bytes in {len(payload)} bytes")
        check_range(offset, count, U64_MAX, "region data")
        return cls(region, offset, payload[_ACCESS.size :])


@dataclass(frozen=True, slots=True)
class WriteMulti:
    """Several writes of at most 8 bytes each, to be made in this order."""

    writes: tuple[RegionData, ...]

    def pack(self) -> bytes:
        return pack_writes(self.writes)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        what = "REGION_WRITE_MULTI"
        (count,) = take(_COUNT, payload, what)
        if count != (len(payload) - _COUNT.size) / _WRITE.size:
            raise ProtocolError(f"{what} of {count} writes in {len(payload)} bytes")
        writes = []
        for offset, region, size, data in _WRITE.iter_unpack(payload[_COUNT.size :]):
            if not 1 <= size <= _WIDEST:
                raise ProtocolError(f"{what} with a write of {size} bytes")
            check_range(offset, size, U64_MAX, what)
            writes.append(RegionData(region, offset, data[:size]))
        return cls(tuple(writes))


def pack_writes(writes: Sequence[RegionData]) -> bytes:
    """Return the payload of a REGION_WRITE_MULTI."""
    packed = [_WRITE.pack(w.offset, w.region, len(w.data), w.data) for w in writes]
    return _COUNT.pack(len(packed)) + b"".join(packed)


@dataclass(frozen=True, slots=True)
class WriteMultiReply:
    """How many writes were made."""

    count: int

    def pack(self) -> bytes:
        return _COUNT.pack(self.count)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        check_size(payload, _COUNT.size, "the reply to REGION_WRITE_MULTI")
        return cls(*_COUNT.unpack(payload))
