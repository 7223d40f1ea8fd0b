"""Messages over a stream socket: framing, descriptors beside them, deadlines.

A message is read in two steps, the 16 bytes of its header and then exactly the rest: with one
large recvmsg the descriptors of one message would be credited to another.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pymmio.backend.vfio_user.descriptors import Descriptors
from pymmio.backend.vfio_user.messages import HEADER_SIZE, Header, command_name
from pymmio.errors import DeviceGone, DeviceTimeout, ProtocolError

__all__ = ["MAX_FDS", "Channel", "Message"]

MAX_FDS = 253
"""How many descriptors Linux passes in one message (SCM_MAX_FD)."""
_SLICE_S = 0.1
"""How long one system call may block before the deadline is looked at."""
_TIMEVAL = struct.Struct("@ll")  # a structure of this machine's kernel, not of the wire
_INT = array.array("i").itemsize


Ancillary = tuple[int, int, bytes]
Received = tuple[bytes, list[Ancillary], int, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came.  Whoever has it closes ``fds``, or takes them."""

    header: Header
    payload: bytes = b""
    fds: Descriptors = field(default_factory=Descriptors)


class Channel:
    """One end of a connection.  Owns the socket.

    One thread may send while another receives; two that send, or two that receive, must be
    kept apart by the caller.  A deadline that passes in the middle of a received message loses
    nothing: the next call goes on there.  One that passes in the middle of a sent message
    breaks the channel, for the other side would take what follows for its rest.
    """

    def __init__(
        self, connection: socket.socket, *, max_payload: int, max_fds: int = MAX_FDS
    ) -> None:
        """``max_payload`` bytes behind a header, and ``max_fds``, are the most that is taken."""
        self.socket = connection
        self.max_payload = max_payload
        self._max_fds = min(max_fds, MAX_FDS)
        self._room = socket.CMSG_SPACE(_INT * MAX_FDS)
        self._data = b""  # of the message under way: its header, then its payload
        self._header: Header | None = None
        self._fds: list[int] = []
        self._came: list[Received] = []  # one at most, which is not yet in the lines above
        self._ancillary: list[Ancillary] = []
        self._is_truncated = False
        self._broken: str | None = None
        connection.setblocking(True)
        limit = _TIMEVAL.pack(0, int(_SLICE_S * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait for it; -1 once it is closed."""
        return self.socket.fileno()

    @property
    def is_broken(self) -> bool:
        """Whether nothing more can be sent or received."""
        return self._broken is not None

    # --- sending -------------------------------------------------------------------------

    def send(
        self, header: Header, payload: bytes = b"", fds: Sequence[int] = (), *, timeout_s: float
    ) -> None:
        """Send a whole message; ``header.size`` must count the payload.

        The descriptors stay the caller's.  Raises DeviceGone if the other end is not there any
        more, DeviceTimeout if it does not take the message in time.
        """
        self._require_whole()
        deadline = time.monotonic() + timeout_s
        rest = memoryview(header.pack() + payload)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            while rest:
                try:
                    sent = self.socket.sendmsg([rest], rights, socket.MSG_NOSIGNAL)
                except BlockingIOError:
                    self._wait(select.POLLOUT, deadline, f"taken {command_name(header.command)}")
                    continue
                rest, rights = rest[sent:], []  # descriptors go with the first bytes
        except DeviceTimeout:  # an OSError as well
            raise
        except OSError as error:
            raise self._lost(error) from error
        finally:
            if rest and len(rest) < header.size:
                self._break(f"{command_name(header.command)} was sent in part only")

    # --- receiving -----------------------------------------------------------------------

    def receive(self, timeout_s: float) -> Message:
        """Return the next message.

        Raises DeviceTimeout if it is not there in time, DeviceGone where the other end closed
        the connection, ProtocolError for a message that cannot be or is too large; after these
        two the channel is of no use any more.
        """
        self._require_whole()
        deadline = time.monotonic() + timeout_s
        if timeout_s < _SLICE_S:
            self._wait(select.POLLIN, deadline, "said anything")
        try:
            if self._header is None:
                self._fill(HEADER_SIZE, deadline)
                checked = self._checked(Header.parse(self._data))
                self._header, self._data = checked, b""
            header = self._header
            self._fill(header.payload_size, deadline)
        except ProtocolError as error:
            self._break(str(error))
            raise
        message = Message(header, self._data, Descriptors(self._fds))
        self._header, self._data, self._fds = None, b"", []
        return message

    def _checked(self, header: Header) -> Header:
        if header.payload_size > self.max_payload:
            raise ProtocolError(
                f"{command_name(header.command)} comes with {header.payload_size} bytes, "
                f"at most {self.max_payload} were agreed on"
            )
        return header

    def _fill(self, size: int, deadline: float) -> None:
        """Receive until ``_data`` has ``size`` bytes; what has come is kept at any exception.

        Also at that of a signal handler (Ctrl-C).  Python runs these after calls, before the
        result has a name: so what recvmsg returns is put into a list before it returns to
        Python, and taken out of it where nothing is called.
        """
        while (missing := size - len(self._data)) > 0:
            if not self._came:
                try:
                    self._came.extend(
                        map(
                            self.socket.recvmsg,
                            (missing,),
                            (self._room,),
                            (socket.MSG_CMSG_CLOEXEC,),
                        )
                    )
                except BlockingIOError:
                    self._wait(select.POLLIN, deadline, "said anything")
                    continue
                except OSError as error:
                    raise self._lost(error) from error
            ((data, ancillary, flags, _),) = self._came
            self._data += data
            self._ancillary += ancillary
            self._is_truncated |= flags & socket.MSG_CTRUNC != 0
            self._came = []
            if not data:
                raise self._lost(None)
        if self._ancillary or self._is_truncated:
            self._take_rights()
            self._check_rights()

    def _take_rights(self) -> None:
        """Put the descriptors that came into ``_fds``."""
        rights = array.array("i")
        for level, kind, data in self._ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                rights.frombytes(data[: len(data) // _INT * _INT])
        self._fds += rights
        self._ancillary = []

    def _check_rights(self) -> None:
        if self._is_truncated:
            raise ProtocolError(
                "descriptors of a message were lost",
                hint="Does this process have as many open as it may have? See ulimit -n",
            )
        if len(self._fds) > self._max_fds:
            raise ProtocolError(
                f"a message comes with {len(self._fds)} descriptors, at most {self._max_fds} "
                "were agreed on"
            )

    # --- waiting, and the end ------------------------------------------------------------

    def _wait(self, what: int, deadline: float, late: str) -> None:
        poll = select.poll()
        poll.register(self.socket, what)
        left = deadline - time.monotonic()
        if not poll.poll(max(0.0, left) * 1000):
            raise DeviceTimeout(f"the other end has not {late} in time")

    def _require_whole(self) -> None:
        if self._broken is not None:
            raise DeviceGone(f"the connection is of no use any more: {self._broken}")

    def _lost(self, error: OSError | None) -> DeviceGone:
        why = f"the other end is gone ({error.strerror})" if error else "the other end closed it"
        self._break(why)
        return DeviceGone(f"the connection is lost: {why}")

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        for _, ancillary, *_ in self._came:
            self._ancillary += ancillary
        self._came = []
        self._take_rights()
        fds, self._fds = self._fds, []
        for fd in fds:
            os.close(fd)

    def shut_down(self) -> None:
        """Wake whoever sends or receives, here and at the other end; from any thread."""
        self._broken = self._broken or "it was closed on this side"
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other end was faster, or it is closed already

    def close(self) -> None:
        """Close the socket and the descriptors of a message that never became whole."""
        self._break("it was closed on this side")
        self.socket.close()
