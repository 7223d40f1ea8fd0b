"""Single accesses to a region of a served device, by message."""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.backend.vfio_user.channel import Message
from pymmio.backend.vfio_user.connection import Connection
from pymmio.backend.vfio_user.iofd import IoEvents
from pymmio.backend.vfio_user.messages import (
    Command,
    RegionData,
    RegionRequest,
    WriteMulti,
    WriteMultiReply,
)
from pymmio.backend.vfio_user.refusals import GONE, reason
from pymmio.errors import AccessFault, DeviceGone, ProtocolError, PymmioError
from pymmio.handle import RegionInfo

__all__ = ["VfioUserRegion"]

_MAX_MULTI = 512
"""How many writes go in one message."""


class VfioUserRegion:
    """A :class:`~pymmio.handle.RegionHandle`: each access is a message, and its reply.

    An access whose write a descriptor stands for is a signal instead.  Blocks are sent without
    waiting for each reply.
    """

    def __init__(
        self,
        info: RegionInfo,
        connection: Connection,
        *,
        source: tuple[int, int] | None,
        events: IoEvents,
        takes_multi: bool,
    ) -> None:
        """``source`` is what can be mapped; ``takes_multi`` that the server takes many writes."""
        self.info = info
        self._connection = connection
        self._source = source
        self._events = events
        self._takes_multi = takes_multi

    def read(self, offset: int, width: int) -> int:
        """Make one read.  Raises AccessFault, DeviceTimeout, DeviceGone, ProtocolError."""
        asked = RegionRequest(self.info.index, offset, width)
        message = self._connection.request(Command.REGION_READ, asked.pack())
        return int.from_bytes(self._data(message, asked), "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """Make one write; it has reached the device when this returns.  Raises as ``read``."""
        if self._events.write(offset, width, value):
            return
        asked = RegionData(self.info.index, offset, value.to_bytes(width, "little"))
        self._written(self._connection.request(Command.REGION_WRITE, asked.pack()), asked)

    def read_block(self, offset: int, size: int, width: int) -> bytes:
        """Make reads of ``width`` bytes each, low address first, and return their bytes."""
        asked = [
            RegionRequest(self.info.index, at, width) for at in range(offset, offset + size, width)
        ]
        replies = self._pipeline(Command.REGION_READ, asked)
        return b"".join(self._data(m, a) for m, a in zip(replies, asked, strict=True))

    def write_block(self, offset: int, data: bytes, width: int) -> None:
        """Make writes of ``width`` bytes each, low address first.

        After a failure later ones may have been made as well.
        """
        asked = [
            RegionData(self.info.index, offset + at, data[at : at + width])
            for at in range(0, len(data), width)
        ]
        if len(self._events):
            for one in asked:
                self.write(one.offset, width, int.from_bytes(one.data, "little"))
        elif self._takes_multi:
            for first in range(0, len(asked), _MAX_MULTI):
                self._write_multi(asked[first : first + _MAX_MULTI])
        else:
            replies = self._pipeline(Command.REGION_WRITE, asked)
            for message, one in zip(replies, asked, strict=True):
                self._written(message, one)

    def take_over(self, other: VfioUserRegion) -> None:
        """Be reached as ``other`` is from now on, which is this region over a new connection."""
        self._events.close()
        self.info, self._connection = other.info, other._connection
        self._source, self._events = other._source, other._events
        self._takes_multi = other._takes_multi

    def close(self) -> None:
        """Close the descriptors that stand for writes."""
        self._events.close()

    def after_fork(self) -> None:
        """In a forked child: the parent's device is not signalled."""
        self._events.after_fork()

    def mmap_source(self) -> tuple[int, int] | None:
        """Return the server's descriptor and where the region begins in it."""
        return self._source

    def pread_source(self) -> None:
        """Return None: messages rule."""
        return

    def _pipeline(
        self, command: Command, asked: Sequence[RegionRequest] | Sequence[RegionData]
    ) -> list[Message]:
        replies = self._connection.pipeline(command, [one.pack() for one in asked])
        for message in replies:
            message.fds.close()
        return replies

    def _write_multi(self, writes: Sequence[RegionData]) -> None:
        payload = WriteMulti(tuple(writes)).pack()
        message = self._connection.request(Command.REGION_WRITE_MULTI, payload)
        message.fds.close()
        if message.header.is_error:
            raise self._failed(writes[0], message.header.error)
        done = WriteMultiReply.parse(message.payload).count
        if done > len(writes):
            raise ProtocolError(f"{self._name}: {done} writes of {len(writes)} were made")
        if done < len(writes):
            raise self._failed(writes[done], 0)

    def _data(self, message: Message, asked: RegionRequest) -> bytes:
        message.fds.close()
        if message.header.is_error:
            raise self._failed(asked, message.header.error)
        reply = RegionData.parse(message.payload)
        if (reply.region, reply.offset, len(reply.data)) != (
            asked.region,
            asked.offset,
            asked.count,
        ):
            raise ProtocolError(
                f"{self._said(asked)}: the reply is about {len(reply.data)} bytes at "
                f"{reply.offset:#x} of region {reply.region}"
            )
        return reply.data

    def _written(self, message: Message, asked: RegionData) -> None:
        message.fds.close()
        if message.header.is_error:
            raise self._failed(asked, message.header.error)
        reply = RegionRequest.parse(message.payload)
        if (reply.region, reply.offset, reply.count) != (
            asked.region,
            asked.offset,
            len(asked.data),
        ):
            raise ProtocolError(
                f"{self._said(asked)}: the reply is about {reply.count} bytes at "
                f"{reply.offset:#x} of region {reply.region}"
            )

    @property
    def _name(self) -> str:
        return f"{self._connection.name} {self.info.name}"

    def _said(self, asked: RegionRequest | RegionData) -> str:
        if isinstance(asked, RegionData):
            return f"{self._name}: write of {len(asked.data)} bytes at {asked.offset:#x}"
        return f"{self._name}: read of {asked.count} bytes at {asked.offset:#x}"

    def _failed(self, asked: RegionRequest | RegionData, number: int) -> PymmioError:
        what = f"{self._said(asked)}: the server refuses: {reason(number)}"
        if number in GONE:
            return DeviceGone(what, hint="Close the device, or reconnect() when it is back")
        is_write = isinstance(asked, RegionData)
        fault = AccessFault(
            what,
            region=self.info.name,
            offset=asked.offset,
            width=len(asked.data) if isinstance(asked, RegionData) else asked.count,
            is_write=is_write,
            value=int.from_bytes(asked.data, "little") if isinstance(asked, RegionData) else None,
            hint="The device may take other widths there only, or nothing at all;"
            " the server's log may say more",
        )
        fault.cause_code = number
        return fault
