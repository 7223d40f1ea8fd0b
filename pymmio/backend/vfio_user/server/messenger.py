"""The client's memory by message: DMA_READ and DMA_WRITE, at any time."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from pymmio.backend.vfio_user.channel import Channel, Message
from pymmio.backend.vfio_user.messages import (
    HEADER_SIZE,
    Command,
    DmaData,
    DmaRequest,
    Header,
    command_name,
)
from pymmio.backend.vfio_user.server.answer import Answer
from pymmio.errors import DeviceGone, DeviceTimeout, IommuFault, ProtocolError

Reply = TypeVar("Reply", DmaData, DmaRequest)

__all__ = ["DMA_BUDGET_S", "DmaMessenger"]

DMA_BUDGET_S = 3.0
"""How long the answers to one command's DMA messages may take, all together, in seconds."""
_MAX_QUEUED = 64
_MAX_ABANDONED = 64


class DmaMessenger:
    """Asks the client for its memory, while commands of the client may come in between.

    Commands that come meanwhile wait in ``queued``.  Used by one thread at a time.
    """

    def __init__(
        self,
        channel: Channel,
        send: Callable[[Header, bytes], None],
        *,
        largest: int,
        before: Callable[[], None],
        acknowledge: Callable[[Message], Answer | None],
    ) -> None:
        """``largest`` bytes fit into a message; ``before`` is called before one is sent.

        ``acknowledge`` gets each command that comes in between: if the client waits for it and
        may be answered at once, it does that and returns the answer.
        """
        self._channel = channel
        self._send = send
        self._largest = largest
        self._before = before
        self._acknowledge = acknowledge
        self.queued: deque[tuple[Message, Answer | None]] = deque()
        self.received = 0
        """How many messages were received here: whoever saw one come looks again."""
        self._next_id = 0
        self._abandoned: deque[int] = deque(maxlen=_MAX_ABANDONED)
        self._deadline = 0.0
        self._worker = 0

    def start_budget(self) -> None:
        """A command, or a doorbell, begins in this thread: its DMA may take DMA_BUDGET_S."""
        self._deadline = time.monotonic() + DMA_BUDGET_S
        self._worker = threading.get_ident()

    def dma_read(self, address: int, size: int) -> bytes:
        """Return memory of the client.  Raises IommuFault."""
        pieces = []
        for at, count in self._cut(address, size):
            reply = self._ask(Command.DMA_READ, DmaRequest(at, count).pack(), DmaData.parse)
            if (reply.address, len(reply.data)) != (at, count):
                self._broken(f"DMA_READ of {count} bytes brought {len(reply.data)}")
            pieces.append(reply.data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def dma_write(self, address: int, data: memoryview) -> None:
        """Write memory of the client.  Raises IommuFault."""
        for at, count in self._cut(address, len(data)):
            piece = bytes(data[at - address : at - address + count])
            reply = self._ask(
                Command.DMA_WRITE, DmaData(at, piece).pack(), DmaRequest.parse_written
            )
            if (reply.address, reply.count) != (at, count):
                self._broken(f"DMA_WRITE of {count} bytes took {reply.count}")

    def drop_late(self, header: Header) -> None:
        """Take a reply nobody waits for.  Raises ProtocolError unless it is one that came late."""
        if header.message_id not in self._abandoned:
            raise ProtocolError(f"a reply to {command_name(header.command)} that was never asked")
        self._abandoned.remove(header.message_id)

    def _cut(self, address: int, size: int) -> list[tuple[int, int]]:
        end = address + size
        return [(at, min(self._largest, end - at)) for at in range(address, end, self._largest)]

    def _ask(self, command: Command, payload: bytes, parse: Callable[[bytes], Reply]) -> Reply:
        self._before()
        if threading.get_ident() != self._worker:  # a test that works on the model, say
            self.start_budget()
        number = self._next_id = (self._next_id + 1) & 0xFFFF
        try:
            self._send(Header(number, command, HEADER_SIZE + len(payload)), payload)
            return parse(self._wait_for(command, number))
        except DeviceTimeout as late:
            self._abandoned.append(number)
            raise IommuFault(
                f"{command.name}: the client did not answer in time",
                hint="It must answer while it waits for a reply, or lend memory by descriptor",
            ) from late
        except DeviceGone as gone:
            raise IommuFault(f"{command.name}: the client is gone") from gone
        except ProtocolError as error:
            self._channel.shut_down()
            raise IommuFault(f"{command.name}: {error.message}") from error

    def _wait_for(self, command: Command, number: int) -> bytes:
        while True:
            message = self._channel.receive(max(0.0, self._deadline - time.monotonic()))
            self.received += 1
            header = message.header
            if not header.is_reply:
                self._queue(message)
                continue
            message.fds.close()
            if header.message_id != number or header.command != command:
                self.drop_late(header)
                continue
            if header.is_error:
                why = os.strerror(header.error) if header.error else "an error"
                raise IommuFault(f"{command.name}: the client says: {why}")
            return message.payload

    def _queue(self, message: Message) -> None:
        self.queued.append((message, self._acknowledge(message)))
        if len(self.queued) > _MAX_QUEUED:
            raise ProtocolError("the client sends commands instead of the reply to DMA_READ")

    def _broken(self, what: str) -> None:
        self._channel.shut_down()
        raise IommuFault(f"{what}: the client does not keep to the protocol")

    def close(self) -> None:
        """Close the descriptors of commands that nobody will see."""
        while self.queued:
            self.queued.popleft()[0].fds.close()
