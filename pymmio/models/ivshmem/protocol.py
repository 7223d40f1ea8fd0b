"""What an ivshmem server and its clients say: 8-byte numbers, some with a descriptor.

Source: QEMU, docs/specs/ivshmem-spec.rst, "Interrupt infrastructure", "Server".
"""

from __future__ import annotations

import array
import os
import socket
import struct

__all__ = ["MEMORY", "VERSION", "BadServer", "receive", "send"]

VERSION = 0
MEMORY = -1
"""The number that comes with the shared memory."""

_NUMBER = struct.Struct("<q")


class BadServer(Exception):
    """The other side said something that it must not."""


def send(connection: socket.socket, number: int, fd: int | None = None) -> None:
    """Send a number, with a descriptor if one is given."""
    data = _NUMBER.pack(number)
    if fd is None:
        connection.sendall(data)
        return
    rights = array.array("i", [fd])
    sent = connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    if sent < len(data):
        connection.sendall(data[sent:])


def receive(connection: socket.socket) -> tuple[int, int | None] | None:
    """Return (number, descriptor or None); the caller owns the descriptor.  None at the end."""
    data = b""
    fds: list[int] = []
    size = array.array("i").itemsize
    try:
        while len(data) < _NUMBER.size:
            part, ancillary, _, _ = connection.recvmsg(
                _NUMBER.size - len(data), socket.CMSG_SPACE(4 * size), socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, rights in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    got = array.array("i")
                    got.frombytes(rights[: len(rights) // size * size])
                    fds += got
            if not part:
                if data or fds:
                    raise BadServer("the connection ended inside a message")
                return None
            data += part
        if len(fds) > 1:
            raise BadServer(f"{len(fds)} descriptors came with one number")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return _NUMBER.unpack(data)[0], fds[0] if fds else None
