"""The 16 bytes before every message (vfio-user 0.1, "Header")."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from pymmio.backend.vfio_user.messages.wire import layout, take
from pymmio.errors import ProtocolError

__all__ = ["HEADER_SIZE", "Command", "Flags", "Header", "command_name"]

_FORM = layout("HHIII")
HEADER_SIZE = 16
_TYPE_MASK = 0xF


class Command(enum.IntEnum):
    """What a message asks for; a reply carries the number of its command."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11  #: from the server to the client, like DMA_WRITE
    DMA_WRITE = 12
    DEVICE_RESET = 13
    REGION_WRITE_MULTI = 15
    DEVICE_FEATURE = 16
    MIG_DATA_READ = 17
    MIG_DATA_WRITE = 18


def command_name(command: int) -> str:
    """Return the name of a command for messages, known or not."""
    try:
        return Command(command).name
    except ValueError:
        return f"command {command}"


class Flags(enum.IntFlag):
    """Bits of a header; the lowest four are the type, of which two values are in use."""

    REPLY = 0x1
    NO_REPLY = 0x10  #: on a command: whoever replies all the same desynchronises the stream
    ERROR = 0x20


# As plain numbers: arithmetic with members of an enumeration costs microseconds a message.
_REPLY, _NO_REPLY, _ERROR = int(Flags.REPLY), int(Flags.NO_REPLY), int(Flags.ERROR)


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a message.  ``size`` counts the head too; ``error`` is an errno or 0.

    ``command`` may be a number that nobody knows: a server answers it with an error.
    """

    message_id: int
    command: int
    size: int = HEADER_SIZE
    flags: int = 0
    error: int = 0

    @property
    def is_reply(self) -> bool:
        return self.flags & _TYPE_MASK == _REPLY

    @property
    def is_error(self) -> bool:
        return bool(self.flags & _ERROR)

    @property
    def wants_reply(self) -> bool:
        """Whether this is a command that the other side waits for."""
        return not self.flags & (_NO_REPLY | _TYPE_MASK)

    @property
    def payload_size(self) -> int:
        return self.size - HEADER_SIZE

    def pack(self) -> bytes:
        return _FORM.pack(self.message_id, self.command, self.size, self.flags, self.error)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse 16 bytes.  Raises ProtocolError for an impossible size or type.

        Bits that no edition defines are let through.  A reply with an error has no payload.
        """
        message_id, command, size, flags, error = take(_FORM, data, "a header")
        if size < HEADER_SIZE:
            raise ProtocolError(f"a message of {size} bytes cannot hold its header")
        kind = flags & _TYPE_MASK
        if kind not in (0, _REPLY):
            raise ProtocolError(f"a message is of type {kind}: neither command nor reply")
        if kind == 0 and flags & _ERROR:
            raise ProtocolError(f"a command ({command_name(command)}) is marked as an error")
        return cls(message_id, command, size, flags, error)

    def reply(self, payload_size: int = 0) -> Header:
        """Return the head of the reply to this command."""
        return Header(self.message_id, self.command, HEADER_SIZE + payload_size, _REPLY)

    def error_reply(self, error: int) -> Header:
        """Return the whole error reply to this command: it has no payload."""
        return Header(self.message_id, self.command, HEADER_SIZE, _REPLY | _ERROR, error)
