"""Connect to a server and agree on version and capabilities (vfio-user 0.1, "Version")."""

from __future__ import annotations

import mmap
import os
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass

from pymmio.backend.vfio_user.channel import MAX_FDS, Channel, Message
from pymmio.backend.vfio_user.messages import (
    DEFAULT_DATA_XFER_SIZE,
    HEADER_SIZE,
    MAJOR,
    MAX_MINOR,
    Capabilities,
    Command,
    Header,
    TwinSocket,
    Version,
    command_name,
)
from pymmio.backend.vfio_user.refusals import connect_failed, refused
from pymmio.errors import (
    DeviceBusy,
    DeviceGone,
    DeviceTimeout,
    ProtocolError,
    Unsupported,
    UriError,
)

__all__ = ["MAX_PAYLOAD", "Agreement", "connect", "negotiate"]

MAX_DATA = DEFAULT_DATA_XFER_SIZE
"""How many bytes one data message to this side may carry."""
MAX_PAYLOAD = MAX_DATA + 64
_FIRST_ID = 0
_LONGEST_PATH = 107  # unix(7): sun_path, with its final NUL


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides agreed on, and the sockets."""

    main: Channel
    twin: Channel | None
    minor: int
    server: Capabilities

    def close(self) -> None:
        """Close the sockets, where nobody took them over."""
        self.main.close()
        if self.twin is not None:
            self.twin.close()


def connect(path: str, timeout_s: float) -> socket.socket:
    """Connect to the socket at ``path``.

    Raises DeviceNotFound where nobody listens, DeviceBusy, PermissionRefused, UriError.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise UriError(
            f"vfio-user:{path}: the name of a socket has at most {_LONGEST_PATH} bytes",
            hint="Use a shorter path, such as one that is relative to the working directory",
        )
    with ExitStack() as undo:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        undo.callback(connection.close)
        connection.settimeout(timeout_s)
        try:
            connection.connect(path)
        except OSError as error:
            raise connect_failed(path, error) from error
        undo.pop_all()
    return connection


def negotiate(name: str, connection: socket.socket, timeout_s: float, *, twin: bool) -> Agreement:
    """Propose version 0.1 and our capabilities, and check the reply.  Owns ``connection`` now.

    ``twin`` offers to take the device's requests on a second socket.  Raises DeviceBusy where
    no reply comes, which is how a server that has a client already behaves; Unsupported where
    the server wants another version; ProtocolError; DeviceGone.
    """
    with ExitStack() as undo:
        undo.callback(connection.close)
        main = Channel(connection, max_payload=MAX_PAYLOAD)
        undo.callback(main.close)
        proposal = Version(
            MAJOR,
            MAX_MINOR,
            Capabilities(
                max_msg_fds=MAX_FDS,
                max_data_xfer_size=MAX_DATA,
                pgsizes=mmap.PAGESIZE,
                twin_socket=TwinSocket(supported=twin),
                write_multiple=True,
            ),
        )
        message = _exchange(name, main, proposal, timeout_s)
        with message.fds:
            if message.header.is_error:
                raise refused(name, "version 0.1 of the protocol", message.header.error)
            reply = Version.parse(message.payload)
            if reply.major != MAJOR or reply.minor > MAX_MINOR:
                raise Unsupported(
                    f"{name}: the server speaks version {reply.major}.{reply.minor} of the "
                    f"protocol, pymmio {MAJOR}.{MAX_MINOR} and below",
                    hint="Is there a newer pymmio?",
                )
            second = _second_socket(name, message, reply.capabilities.twin_socket, asked=twin)
        undo.pop_all()
        return Agreement(main, second, reply.minor, reply.capabilities)


def _exchange(name: str, main: Channel, proposal: Version, timeout_s: float) -> Message:
    deadline = time.monotonic() + timeout_s
    payload = proposal.pack()
    header = Header(_FIRST_ID, Command.VERSION, HEADER_SIZE + len(payload))
    try:
        main.send(header, payload, timeout_s=timeout_s)
        message = main.receive(deadline - time.monotonic())
    except DeviceTimeout as error:
        raise DeviceBusy(
            f"{name}: the server has not answered within {timeout_s:g} s",
            hint="A server that has a client already does so: close that one first",
        ) from error
    except DeviceGone as error:
        raise DeviceGone(
            f"{name}: the server closed the connection instead of agreeing on a version",
            hint="Does it serve one client only? Its log may say more",
        ) from error
    head = message.header
    if not head.is_reply or head.command != Command.VERSION or head.message_id != _FIRST_ID:
        message.fds.close()
        raise ProtocolError(
            f"{name}: the first message is {command_name(head.command)} number "
            f"{head.message_id}, not the reply to VERSION"
        )
    return message


def _second_socket(name: str, message: Message, said: TwinSocket, *, asked: bool) -> Channel | None:
    """Return the channel for the device's requests, if the server made one."""
    if not said.supported:
        return None
    if not asked or said.fd_index is None:
        raise ProtocolError(f"{name}: the server claims a twin socket, and there is none")
    fd = message.fds.take(said.fd_index)
    try:
        second = socket.socket(fileno=fd)
    except OSError as error:
        os.close(fd)
        raise ProtocolError(f"{name}: the twin socket is no socket: {error}") from error
    if second.family != socket.AF_UNIX or second.type != socket.SOCK_STREAM:
        second.close()
        raise ProtocolError(f"{name}: the twin socket is no stream socket of this machine")
    return Channel(second, max_payload=MAX_PAYLOAD)
