"""A client of single messages, and models for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.backend.vfio_user.channel import Channel, Message
from pymmio.backend.vfio_user.messages import (
    HEADER_SIZE,
    Capabilities,
    Command,
    DmaMap,
    DmaUnmap,
    Flags,
    Header,
    IrqAction,
    IrqData,
    RegionData,
    RegionInfoReply,
    RegionInfoRequest,
    RegionRequest,
    SetIrqs,
    Version,
)
from pymmio.backend.vfio_user.server import Server, serve
from pymmio.handle import IrqKind, MappedArea

TIMEOUT_S = 10.0
COMMAND = 0x04
MEMORY, MASTER = 0x2, 0x4


class Rig(DeviceModel):
    """Does DMA, raises interrupts and fails as the test says: ``on_write`` and ``on_read``.

    BAR0: registers, a page of doorbells at 0x1000, the MSI-X table at 0x2000.  BAR2: memory.
    """

    vendor_id = 0x1AF4
    device_id = 0x10F0
    class_code = 0xFF0000
    bars = (
        BarSpec(0, 0x4000, doorbells=(MappedArea(0x1000, 0x2000),)),
        BarSpec(2, 0x2000, prefetchable=True, ram=True),
    )
    msix_vectors = 4
    msix_bar = 0
    msix_offset = 0x2000
    msi_vectors = 2
    has_intx = True

    def __init__(self) -> None:
        self.accesses: list[tuple[object, ...]] = []
        self.on_write: Callable[[int, int], object] = lambda offset, value: None
        self.on_read: Callable[[int], int] = lambda offset: 0x11
        self.resets = 0
        self.is_closed = False

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        self.accesses.append(("read", bar, offset, width))
        return self.on_read(offset) & ((1 << 8 * width) - 1)

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        self.accesses.append(("write", bar, offset, width, value))
        self.on_write(offset, value)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.is_closed = True


class Refused(Exception):
    """The server answered with an error; ``number`` is the errno."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


class RawClient:
    """Sends messages one at a time, or as the test wants."""

    def __init__(self, path: Path | str) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_S)
        connection.connect(os.fspath(path))
        self.channel = Channel(connection, max_payload=2 << 20)
        self.next_id = 100

    def agree(self, minor: int = 1, **capabilities: object) -> tuple[Version, Message]:
        said = Version(0, minor, Capabilities(**capabilities))  # type: ignore[arg-type]
        reply = self.ask(Command.VERSION, said.pack())
        return Version.parse(reply.payload), reply

    def post(
        self, command: int, payload: bytes = b"", fds: Sequence[int] = (), flags: int = 0
    ) -> int:
        """Send a command and do not wait."""
        self.next_id += 1
        header = Header(self.next_id, command, HEADER_SIZE + len(payload), flags)
        self.channel.send(header, payload, fds, timeout_s=TIMEOUT_S)
        return self.next_id

    def receive(self) -> Message:
        return self.channel.receive(TIMEOUT_S)

    def ask(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> Message:
        """Send a command, return the reply.  Raises Refused."""
        number = self.post(command, payload, fds)
        reply = self.receive()
        assert reply.header.is_reply
        assert (reply.header.message_id, reply.header.command) == (number, command)
        if reply.header.is_error:
            raise Refused(reply.header.error)
        return reply

    def answer(self, message: Message, payload: bytes, error: int = 0) -> None:
        """Answer a command of the server."""
        header = message.header
        head = header.error_reply(error) if error else header.reply(len(payload))
        self.channel.send(head, payload, timeout_s=TIMEOUT_S)

    # --- shorter ------------------------------------------------------------------------------

    def read(self, region: int, offset: int, count: int) -> bytes:
        request = RegionRequest(region, offset, count)
        return RegionData.parse(self.ask(Command.REGION_READ, request.pack()).payload).data

    def write(self, region: int, offset: int, data: bytes) -> None:
        self.ask(Command.REGION_WRITE, RegionData(region, offset, data).pack())

    def switch_on(self, bits: int = MEMORY | MASTER) -> None:
        self.write(7, COMMAND, bits.to_bytes(2, "little"))

    def region(self, index: int, room: int = 4096) -> tuple[RegionInfoReply, list[int]]:
        reply = self.ask(Command.DEVICE_GET_REGION_INFO, RegionInfoRequest(index, room).pack())
        fds = [reply.fds.take(n) for n in range(len(reply.fds))]
        return RegionInfoReply.parse(reply.payload), fds

    def map(
        self, address: int, size: int, fd: int | None = None, offset: int = 0, flags: int = 3
    ) -> None:
        message = DmaMap(address, size, offset, flags).pack()
        self.ask(Command.DMA_MAP, message, [] if fd is None else [fd])

    def unmap(self, address: int, size: int, flags: int = 0) -> None:
        self.ask(Command.DMA_UNMAP, DmaUnmap(address, size, flags).pack())

    def set_irqs(
        self,
        index: int,
        data: IrqData,
        action: IrqAction,
        start: int,
        count: int,
        fds: Sequence[int] = (),
        chosen: Sequence[bool] = (),
    ) -> None:
        request = SetIrqs(index, data, action, start, count, tuple(chosen))
        self.ask(Command.DEVICE_SET_IRQS, request.pack(), fds)

    def close(self) -> None:
        self.channel.close()


@contextmanager
def memory(size: int) -> Iterator[int]:
    """A memfd of this size."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def served(tmp_path: Path) -> Iterator[tuple[Rig, RawClient, Server, list[str]]]:
    """A rig that is served, and a client that has shaken hands and switched it on."""
    model = Rig()
    problems: list[str] = []
    with serve(model, tmp_path / "s", report=problems.append) as server:
        client = RawClient(server.path)
        try:
            client.agree()
            client.switch_on()
            yield model, client, server, problems
        finally:
            client.close()


__all__ = [
    "COMMAND",
    "Flags",
    "IrqKind",
    "MASTER",
    "MEMORY",
    "RawClient",
    "Refused",
    "Rig",
    "memory",
    "served",
]
