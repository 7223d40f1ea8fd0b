"""Writes that a descriptor stands for: the server is signalled instead of asked."""

from __future__ import annotations

import mmap
import os
import select
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pymmio.backend.vfio_user.connection import Connection
from pymmio.backend.vfio_user.descriptors import Descriptors
from pymmio.backend.vfio_user.messages import (
    IO_FDS_SIZE,
    Command,
    IoFd,
    IoFdFlags,
    IoFdsReply,
    IoFdsRequest,
    IoFdType,
)
from pymmio.errors import ProtocolError

__all__ = ["IoEvents", "ask_io_fds"]

_MAX_ROOM = 64 << 10
_WIDEST = 8
_UNDERSTOOD = (IoFdType.IOEVENTFD, IoFdType.IOEVENTFD_SHADOW)
_EVENTFD = "anon_inode:[eventfd]"


@dataclass(frozen=True, slots=True)
class _Event:
    """One descriptor and the write that it stands for."""

    entry: IoFd
    fd: int
    shadow: mmap.mmap | None

    def fits(self, width: int, value: int) -> bool:
        if self.entry.size not in (0, width):
            return False
        return not self.entry.flags & IoFdFlags.DATAMATCH or self.entry.datamatch == value

    def close(self) -> None:
        if self.shadow is not None:
            self.shadow.close()
        os.close(self.fd)


class IoEvents:
    """The ioeventfds of a region; owns descriptors and shadow memory.  Safe for threads."""

    def __init__(self, events: list[_Event]) -> None:
        self._lock = threading.Lock()  # no descriptor is written to after it was closed
        self._events: dict[int, list[_Event]] = {}
        for event in events:
            self._events.setdefault(event.entry.offset, []).append(event)

    def __len__(self) -> int:
        return sum(map(len, self._events.values()))

    def write(self, offset: int, width: int, value: int) -> bool:
        """Signal the descriptor that stands for this write; False where none does."""
        if offset not in self._events:
            return False
        with self._lock:
            for event in self._events.get(offset, ()):
                if event.fits(width, value):
                    if event.shadow is not None:  # before the signal: the server reads it then
                        at = event.entry.shadow_offset
                        event.shadow[at : at + width] = value.to_bytes(width, "little")
                    if _takes_more(event.fd):  # else the counter is full: signalled anyway
                        os.eventfd_write(event.fd, 1)
                    return True
        return False

    def close(self) -> None:
        """Close all descriptors and shadows; again is fine."""
        with self._lock:
            events, self._events = self._events, {}
            for group in events.values():
                for event in group:
                    event.close()

    def after_fork(self) -> None:
        """In a forked child: nobody holds the lock, and nobody is signalled."""
        self._lock = threading.Lock()
        self._events = {}


def ask_io_fds(connection: Connection, index: int, region_size: int) -> IoEvents:
    """Ask which writes to a region descriptors stand for; none where the server has none.

    Parts for which a kernel would hand on whole messages (ioregionfd), and I/O ports, are left
    to messages.  Raises ProtocolError, DeviceGone, DeviceTimeout.
    """
    room = IO_FDS_SIZE + 64 * 48
    while True:
        request = IoFdsRequest(index, room).pack()
        message = connection.request(Command.DEVICE_GET_REGION_IO_FDS, request)
        with message.fds as fds:
            if message.header.is_error:
                return IoEvents([])
            reply = IoFdsReply.parse(message.payload, len(fds), region_size)
            if reply.index != index:
                raise ProtocolError(
                    f"{connection.name}: asked about descriptors of region {index}, the server "
                    f"answers about {reply.index}"
                )
            if reply.needed <= room:
                return _open(connection.name, reply.entries, fds)
        if reply.needed > _MAX_ROOM:
            raise ProtocolError(
                f"{connection.name}: {reply.needed} bytes of descriptors for region {index}"
            )
        room = reply.needed


def _open(name: str, entries: Sequence[IoFd], fds: Descriptors) -> IoEvents:
    events: list[_Event] = []
    with ExitStack() as undo:
        for entry in entries:
            if entry.type not in _UNDERSTOOD or entry.flags not in (0, IoFdFlags.DATAMATCH):
                continue
            shadow = None
            fd = fds.duplicate(entry.fd_index)
            undo.callback(os.close, fd)
            if os.readlink(f"/proc/self/fd/{fd}") != _EVENTFD:
                raise ProtocolError(f"{name}: descriptor {entry.fd_index} is no eventfd")
            if entry.type == IoFdType.IOEVENTFD_SHADOW:
                shadow = _map_shadow(name, entry, fds)
                undo.callback(shadow.close)
            events.append(_Event(entry, fd, shadow))
        undo.pop_all()
    return IoEvents(events)


def _map_shadow(name: str, entry: IoFd, fds: Descriptors) -> mmap.mmap:
    fd = fds.duplicate(entry.shadow_fd_index)
    try:
        end = entry.shadow_offset + _WIDEST
        if end > os.fstat(fd).st_size:
            raise ProtocolError(f"{name}: a shadow at {entry.shadow_offset:#x} behind its memory")
        return mmap.mmap(fd, end)
    except (OSError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{name}: a shadow cannot be mapped: {error}") from error
    finally:
        os.close(fd)


def _takes_more(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
