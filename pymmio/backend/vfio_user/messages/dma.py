"""Memory that the device may reach, and its access to it by message.

vfio-user 0.1, DMA_MAP, DMA_UNMAP (client to server), DMA_READ, DMA_WRITE (server to client).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from pymmio.backend.vfio_user.messages.wire import U64_MAX, check_range, check_size, layout, take
from pymmio.errors import ProtocolError

__all__ = [
    "DmaData",
    "DmaFlags",
    "DmaMap",
    "DmaRequest",
    "DmaUnmap",
    "UnmapFlags",
]

_MAP = layout("IIQQQ")
_UNMAP = layout("IIQQ")
_ACCESS = layout("QQ")
_FILE_END = 1 << 63  # off_t


class DmaFlags(enum.IntFlag):
    """How the device may use the memory."""

    READ = 0x1
    WRITE = 0x2


@dataclass(frozen=True, slots=True)
class DmaMap:
    """Let the device use ``size`` bytes at ``address``, at ``offset`` of the file beside it.

    Without a descriptor the memory is reached with DMA_READ and DMA_WRITE only.
    """

    address: int
    size: int
    offset: int = 0
    flags: int = DmaFlags.READ | DmaFlags.WRITE

    def pack(self) -> bytes:
        return _MAP.pack(_MAP.size, self.flags, self.offset, self.address, self.size)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        argsz, flags, offset, address, size = take(_MAP, payload, "DMA_MAP")
        if argsz < _MAP.size:
            raise ProtocolError(f"DMA_MAP claims {argsz} bytes")
        check_range(address, size, U64_MAX + 1, "DMA_MAP: the addresses")
        check_range(offset, size, _FILE_END, "DMA_MAP: the file")
        if not size:
            raise ProtocolError("DMA_MAP of no bytes")
        return cls(address, size, offset, flags)


class UnmapFlags(enum.IntFlag):
    """What libvfio-user takes from VFIO; pymmio's client sends none of them."""

    GET_DIRTY_BITMAP = 0x1
    ALL = 0x2


@dataclass(frozen=True, slots=True)
class DmaUnmap:
    """Take memory away, exactly as it was mapped.  Request and reply are the same."""

    address: int
    size: int
    flags: int = 0

    def pack(self) -> bytes:
        return _UNMAP.pack(_UNMAP.size, self.flags, self.address, self.size)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        argsz, flags, address, size = take(_UNMAP, payload, "DMA_UNMAP")
        if argsz < _UNMAP.size:
            raise ProtocolError(f"DMA_UNMAP with room for {argsz} bytes")
        check_range(address, size, U64_MAX + 1, "DMA_UNMAP")
        return cls(address, size, flags)


@dataclass(frozen=True, slots=True)
class DmaRequest:
    """DMA_READ, and the reply to DMA_WRITE: where, and how many bytes."""

    address: int
    count: int

    def pack(self) -> bytes:
        return _ACCESS.pack(self.address, self.count)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        check_size(payload, _ACCESS.size, "DMA_READ")
        address, count = _ACCESS.unpack(payload)
        check_range(address, count, U64_MAX + 1, "DMA_READ")
        return cls(address, count)

    @classmethod
    def parse_written(cls, payload: bytes) -> Self:
        """Parse the reply to DMA_WRITE, whose count has 8 bytes, or 4 as in the document."""
        short = layout("QI")
        form = short if len(payload) == short.size else _ACCESS
        check_size(payload, form.size, "the reply to DMA_WRITE")
        address, count = form.unpack(payload)
        return cls(address, count)


@dataclass(frozen=True, slots=True)
class DmaData:
    """DMA_WRITE, and the reply to DMA_READ: where, and the bytes."""

    address: int
    data: bytes

    def pack(self) -> bytes:
        return _ACCESS.pack(self.address, len(self.data)) + self.data

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse it.  Raises ProtocolError unless exactly as many bytes follow as it says."""
        address, count = take(_ACCESS, payload, "DMA data")
        if count != len(payload) - _ACCESS.size:
            raise ProtocolError(f"DMA data of {count} bytes in {len(payload)} bytes")
        check_range(address, count, U64_MAX + 1, "DMA data")
        return cls(address, payload[_ACCESS.size :])
