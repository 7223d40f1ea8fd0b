"""What a server says about the regions of its device, checked."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

from pymmio.backend.vfio_user.connection import Connection
from pymmio.backend.vfio_user.messages import (
    Command,
    RegionFlags,
    RegionInfoReply,
    RegionInfoRequest,
)
from pymmio.backend.vfio_user.refusals import refused
from pymmio.errors import ProtocolError
from pymmio.handle import CONFIG_REGION, MappedArea, RegionInfo

__all__ = ["RegionRecord", "read_region"]

_ROM = 6
_ROOM = 4096  # one message suffices for any sensible reply
_MAX_ROOM = 1 << 16
_NAMES = {_ROM: "ROM", CONFIG_REGION: "config"}
_INVALID = 22  # EINVAL: how libvfio-user says that there is no such region
_CONFIG_SIZES = range(64, 4097)


@dataclass(frozen=True, slots=True)
class RegionRecord:
    """A region, and the descriptor of its memory, -1 where there is none; its owner closes it."""

    info: RegionInfo
    fd: int
    file_offset: int

    @property
    def source(self) -> tuple[int, int] | None:
        """Return descriptor and file offset for a mapping, None if unmappable."""
        return (self.fd, self.file_offset) if self.info.mappable else None

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)


def read_region(connection: Connection, index: int) -> RegionRecord | None:
    """Ask the server about a region; None where the device has none of this index.

    Parts that can be mapped are left to messages where they are no whole pages of this machine.
    Raises ProtocolError where the reply contradicts itself, and what the server refuses.
    """
    room = _ROOM
    while True:
        request = RegionInfoRequest(index, room).pack()
        message = connection.request(Command.DEVICE_GET_REGION_INFO, request)
        with message.fds as fds:
            what = f"asking about region {index}"
            if message.header.error == _INVALID and message.header.is_error:
                return None
            if message.header.is_error:
                raise refused(connection.name, what, message.header.error)
            reply = RegionInfoReply.parse(message.payload)
            if reply.index != index:
                raise ProtocolError(
                    f"{connection.name}: {what}, the server answers about {reply.index}"
                )
            if reply.needed <= room or not reply.flags & RegionFlags.CAPS:
                areas = _areas(reply) if len(fds) else ()
                info = _info(connection.name, reply, areas)
                if info is None:
                    return None
                return RegionRecord(info, fds.take(0) if areas else -1, reply.offset)
        if reply.needed > _MAX_ROOM:
            raise ProtocolError(
                f"{connection.name}: {what}, the server wants to say {reply.needed} bytes"
            )
        room = reply.needed


def _info(name: str, reply: RegionInfoReply, areas: tuple[MappedArea, ...]) -> RegionInfo | None:
    if not reply.size:
        return None
    if reply.index == CONFIG_REGION and reply.size not in _CONFIG_SIZES:
        raise ProtocolError(f"{name}: configuration space of {reply.size:#x} bytes")
    region = _NAMES.get(reply.index) or (
        f"BAR{reply.index}" if reply.index < _ROM else f"region{reply.index}"
    )
    return RegionInfo(
        reply.index,
        region,
        reply.size,
        readable=bool(reply.flags & RegionFlags.READ),
        writable=bool(reply.flags & RegionFlags.WRITE),
        mappable=areas,
        is_pci=False,  # plain shared memory, whatever stands for the device there
    )


def _areas(reply: RegionInfoReply) -> tuple[MappedArea, ...]:
    """Return what can be mapped, in order and without overlap."""
    if not reply.flags & RegionFlags.MMAP or reply.index == CONFIG_REGION:
        return ()
    if reply.areas is None:
        return (MappedArea(0, reply.size),) if reply.size else ()
    found: list[MappedArea] = []
    for area in sorted(reply.areas, key=lambda area: area.offset):
        if found and area.offset < found[-1].offset + found[-1].size:
            raise ProtocolError(f"areas of region {reply.index} overlap at {area.offset:#x}")
        if area.size and not (area.offset | area.size) % mmap.PAGESIZE:
            found.append(MappedArea(area.offset, area.size))
    return tuple(found)
