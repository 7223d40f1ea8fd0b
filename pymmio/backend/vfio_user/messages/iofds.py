"""Descriptors in the place of messages (vfio-user 0.1, DEVICE_GET_REGION_IO_FDS).

The shadow kind is of libvfio-user (its docs/shadow_ioeventfd.md): the value is written to shared
memory before the descriptor is signalled.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from pymmio.backend.vfio_user.messages.wire import U64_MAX, check_range, layout, take
from pymmio.errors import ProtocolError

__all__ = ["IO_FDS_SIZE", "IoFd", "IoFdFlags", "IoFdType", "IoFdsReply", "IoFdsRequest"]

_FIXED = layout("IIII")
_ENTRY = layout("QQIIIIQ")
_SHADOW_ENTRY = layout("QQIIIIQQ")
IO_FDS_SIZE = _FIXED.size


class IoFdType(enum.IntEnum):
    """How a descriptor stands for accesses."""

    IOEVENTFD = 0
    IOREGIONFD = 1
    IOEVENTFD_SHADOW = 2


class IoFdFlags(enum.IntFlag):
    """Flags of an ioeventfd (linux/kvm.h, struct kvm_ioeventfd)."""

    DATAMATCH = 0x1
    PIO = 0x2


@dataclass(frozen=True, slots=True)
class IoFd:
    """A part of a region for which a descriptor stands.

    ``size`` 0: the width does not matter.  ``datamatch`` is what must be written for the
    descriptor to be signalled (with IoFdFlags.DATAMATCH); for an ioregionfd it is what comes
    back.  ``shadow_fd_index`` and ``shadow_offset`` say where a written value goes first.
    """

    offset: int
    size: int
    fd_index: int
    type: int = IoFdType.IOEVENTFD
    flags: int = 0
    datamatch: int = 0
    shadow_fd_index: int = 0
    shadow_offset: int = 0


@dataclass(frozen=True, slots=True)
class IoFdsRequest:
    """Ask for the descriptors of a region; ``room`` is how long the reply may be."""

    index: int
    room: int = IO_FDS_SIZE

    def pack(self) -> bytes:
        return _FIXED.pack(self.room, 0, self.index, 0)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse it.  Raises ProtocolError where the fields that must be 0 are not."""
        room, flags, index, count = take(_FIXED, payload, "DEVICE_GET_REGION_IO_FDS")
        if room < _FIXED.size or flags or count:
            raise ProtocolError(
                f"DEVICE_GET_REGION_IO_FDS with room {room}, flags {flags:#x}, count {count}"
            )
        return cls(index, room)


@dataclass(frozen=True, slots=True)
class IoFdsReply:
    """The descriptors of a region; they travel beside the message, one may serve several.

    ``needed`` is the size of the whole reply; where that is larger than what came, ``entries``
    is empty: ask again with that much room.
    """

    index: int
    entries: tuple[IoFd, ...]
    needed: int = 0

    def pack(self, room: int = U64_MAX) -> bytes:
        """Return the payload, without entries where ``room`` is too small for all of them.

        Entries have 40 bytes as in the document, or 48 as in libvfio-user where one of them
        has a shadow.
        """
        shadows = any(entry.type == IoFdType.IOEVENTFD_SHADOW for entry in self.entries)
        form = _SHADOW_ENTRY if shadows else _ENTRY
        needed = _FIXED.size + form.size * len(self.entries)
        chosen = self.entries if needed <= room else ()
        body = b"".join(
            _SHADOW_ENTRY.pack(
                e.offset,
                e.size,
                e.fd_index,
                e.type,
                e.flags,
                e.shadow_fd_index,
                e.shadow_offset,
                e.datamatch,
            )
            if shadows
            else _ENTRY.pack(e.offset, e.size, e.fd_index, e.type, e.flags, 0, e.datamatch)
            for e in chosen
        )
        return _FIXED.pack(needed, 0, self.index, len(self.entries)) + body

    @classmethod
    def parse(cls, payload: bytes, fd_count: int, region_size: int) -> Self:
        """Parse a reply that came with ``fd_count`` descriptors for a region of that size.

        Raises ProtocolError where entries do not fit the reply, the descriptors or the region.
        """
        what = "the reply to DEVICE_GET_REGION_IO_FDS"
        needed, flags, index, count = take(_FIXED, payload, what)
        if flags or needed < _FIXED.size:
            raise ProtocolError(f"{what} with flags {flags:#x}, {needed} bytes")
        if needed > len(payload) or not count:
            return cls(index, (), needed)
        stride, rest = divmod(needed - _FIXED.size, count)
        if stride < _ENTRY.size or rest:
            raise ProtocolError(f"{what} claims {count} entries in {needed} bytes")
        entries = []
        for position in range(count):
            entry = _entry(payload, _FIXED.size + position * stride, stride)
            check_range(entry.offset, entry.size, region_size, what)
            has_shadow = entry.type == IoFdType.IOEVENTFD_SHADOW
            if max(entry.fd_index, entry.shadow_fd_index if has_shadow else 0) >= fd_count:
                raise ProtocolError(
                    f"{what} points to descriptor {entry.fd_index} of {fd_count} that came"
                )
            entries.append(entry)
        return cls(index, tuple(entries), needed)


def _entry(payload: bytes, at: int, stride: int) -> IoFd:
    if stride < _SHADOW_ENTRY.size:
        offset, size, fd, kind, flags, _, datamatch = _ENTRY.unpack_from(payload, at)
        return IoFd(offset, size, fd, kind, flags, datamatch)
    offset, size, fd, kind, flags, shadow_fd, shadow_offset, datamatch = _SHADOW_ENTRY.unpack_from(
        payload, at
    )
    return IoFd(offset, size, fd, kind, flags, datamatch, shadow_fd, shadow_offset)
