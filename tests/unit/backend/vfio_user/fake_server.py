"""A server of a small PCI device whose answers a test can replace, one by one.

It packs and parses by itself, from the numbers of the document, not with pymmio's messages.
"""

from __future__ import annotations

import array
import contextlib
import json
import mmap
import os
import queue
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HEADER = struct.Struct("=HHIII")
REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, REGION_INFO, IO_FDS, IRQ_INFO, SET_IRQS = range(1, 9)
REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, RESET = range(9, 14)
WRITE_MULTI = 15

PAGE = mmap.PAGESIZE
BAR0_SIZE = 0x1000
BAR2_SIZE = 4 * PAGE
BAR2_AREA = (PAGE, 2 * PAGE)
BAR2_FILE_OFFSET = PAGE
CONFIG_SIZE = 256
MSIX_CONTROL, MSI_CONTROL = 0x42, 0x52
EVENTFD, MASKABLE, AUTOMASKED = 1, 2, 4
IRQS = {0: (EVENTFD | MASKABLE | AUTOMASKED, 1), 1: (EVENTFD, 4), 2: (EVENTFD, 8)}
DEADLINE_S = 20.0


@dataclass
class Request:
    """What the client sent."""

    number: int
    command: int
    flags: int
    payload: bytes
    fds: list[int] = field(default_factory=list)


@dataclass
class Reply:
    """What it gets: payload or error.

    ``close`` ends the connection afterwards, ``is_owner`` closes the descriptors.
    """

    payload: bytes = b""
    fds: Sequence[int] = ()
    error: int | None = None
    close: bool = False
    is_owner: bool = False
    number: int | None = None
    command: int | None = None


@dataclass
class Raw:
    """Bytes that are sent as they are."""

    data: bytes
    fds: Sequence[int] = ()
    close: bool = False


Answer = Callable[[Request], Reply | Raw | None]
"""What a test puts in the place of a default answer; configuration space always answers."""


class FakeServer:
    """Serves one client after the other, in a thread, at ``path``."""

    def __init__(
        self,
        path: str,
        answers: dict[int, Answer] | None = None,
        *,
        capabilities: dict[str, object] | None = None,
        twin: bool = False,
        minor: int = 1,
    ) -> None:
        self.path = path
        self.answers = dict(answers or {})
        self.capabilities = {"max_msg_fds": 4} if capabilities is None else capabilities
        self.twin = twin
        self.minor = minor
        self.requests: list[Request] = []
        self.replies: queue.Queue[tuple[tuple[int, ...], bytes]] = queue.Queue()
        self.config = _configuration()
        self.bar0 = bytearray(BAR0_SIZE)
        self.memory = os.memfd_create("fake-bar2", os.MFD_CLOEXEC)
        os.ftruncate(self.memory, BAR2_FILE_OFFSET + BAR2_SIZE)
        self.eventfds: dict[tuple[int, int], int] = {}
        self.maps: dict[int, tuple[int, int]] = {}
        self.connections = 0
        self._client: socket.socket | None = None
        self._second: socket.socket | None = None
        self._is_over = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- what tests do ---------------------------------------------------------------------------

    def commands(self) -> list[int]:
        """Return the commands that came, in order."""
        return [request.command for request in self.requests]

    def ask(self, command: int, payload: bytes, number: int = 77) -> tuple[tuple[int, ...], bytes]:
        """Send a request of the device; return header and payload of the client's reply."""
        self.send(HEADER.pack(number, command, 16 + len(payload), 0, 0) + payload)
        return self.replies.get(timeout=DEADLINE_S)

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send bytes on the socket of the device's requests."""
        target = self._second or self._client
        assert target is not None
        _send(target, data, fds)

    def send_main(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send bytes on the client's own socket."""
        assert self._client is not None
        _send(self._client, data, fds)

    def trigger(self, index: int, vector: int) -> None:
        """Signal an interrupt."""
        os.eventfd_write(self.eventfds[index, vector], 1)

    def hang_up(self) -> None:
        """End the connection of the client."""
        for one in (self._client, self._second):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        self._listener.close()
        os.close(self.memory)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    # --- its thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._client = client
            try:
                while self._serve(client):
                    pass
            except OSError:
                pass  # the client went away in the middle
            finally:
                self._forget()

    def _forget(self) -> None:
        for one in (self._client, self._second):
            if one is not None:
                one.close()
        self._client = self._second = None
        for fd in (*self.eventfds.values(), *(fd for fd, _ in self.maps.values())):
            os.close(fd)
        self.eventfds.clear()
        self.maps.clear()

    def _serve(self, client: socket.socket) -> bool:
        head, fds = _receive(client, HEADER.size)
        if len(head) < HEADER.size:
            return False
        number, command, size, flags, error = HEADER.unpack(head)
        payload, more = _receive(client, size - HEADER.size)
        if flags & 0xF == REPLY:
            self.replies.put(((number, command, size, flags, error), payload))
            return True
        request = Request(number, command, flags, payload, fds + more)
        self.requests.append(request)
        try:
            reply = self._answer(request)
        finally:
            for fd in request.fds:
                os.close(fd)
        if isinstance(reply, Reply) and not flags & NO_REPLY:
            try:
                _send(client, pack_reply(request, reply), reply.fds)
            finally:
                for fd in reply.fds if reply.is_owner else ():
                    os.close(fd)
        elif isinstance(reply, Raw):
            _send(client, reply.data, reply.fds)
        return not (reply is not None and reply.close)

    def _answer(self, request: Request) -> Reply | Raw | None:
        command = request.command
        is_config = command in (REGION_READ, REGION_WRITE) and request.payload[8:12] == struct.pack(
            "=I", 7
        )
        if command in self.answers and not is_config:
            return self.answers[command](request)
        default = _DEFAULTS.get(command)
        return Reply(error=95) if default is None else default(self, request)

    def start_twin(self) -> socket.socket:
        """Make the second socket; return the client's end."""
        ours, theirs = socket.socketpair()
        self._second = ours
        threading.Thread(target=self._serve_second, args=(ours,), daemon=True).start()
        return theirs

    def _serve_second(self, second: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                head, _ = _receive(second, HEADER.size)
                if len(head) < HEADER.size:
                    return
                fields = HEADER.unpack(head)
                payload, _ = _receive(second, fields[2] - HEADER.size)
                self.replies.put((fields, payload))


def pack_reply(request: Request, reply: Reply) -> bytes:
    """Return the bytes of a reply."""
    number = request.number if reply.number is None else reply.number
    command = request.command if reply.command is None else reply.command
    flags = REPLY | (0 if reply.error is None else ERROR)
    size = HEADER.size + len(reply.payload)
    return HEADER.pack(number, command, size, flags, reply.error or 0) + reply.payload


@contextmanager
def fake_server(
    answers: dict[int, Answer] | None = None, **options: object
) -> Iterator[tuple[FakeServer, str]]:
    """Run a server; give it and the URI that opens its device."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "s")
        server = FakeServer(path, answers, **options)  # type: ignore[arg-type]
        try:
            yield server, f"vfio-user:{path}"
        finally:
            server.close()


# --- default answers -------------------------------------------------------------------------


def _version(server: FakeServer, request: Request) -> Reply:
    capabilities = dict(server.capabilities)
    fds: list[int] = []
    if server.twin:
        capabilities["twin_socket"] = {"supported": True, "fd_index": 0}
        fds.append(server.start_twin().detach())
    text = json.dumps({"capabilities": capabilities}).encode() + b"\0"
    return Reply(struct.pack("=HH", 0, server.minor) + text, fds, is_owner=True)


def _info(server: FakeServer, request: Request) -> Reply:
    return Reply(struct.pack("=IIII", 16, 3, 9, 5))


def region_info(
    index: int, size: int, flags: int, offset: int = 0, areas: Sequence[tuple[int, int]] = ()
) -> bytes:
    """Return the payload of a reply to DEVICE_GET_REGION_INFO."""
    chain = b""
    if areas:
        flags |= 8
        chain = struct.pack("=HHIII", 1, 1, 0, len(areas), 0)
        chain += b"".join(struct.pack("=QQ", *area) for area in areas)
    first = 32 if areas else 0
    return struct.pack("=IIIIQQ", 32 + len(chain), flags, index, first, size, offset) + chain


def _region(server: FakeServer, request: Request) -> Reply:
    room, _, index = struct.unpack_from("=III", request.payload)
    if index == 0:
        return Reply(region_info(0, BAR0_SIZE, 3))
    if index == 2:
        payload = region_info(2, BAR2_SIZE, 7, BAR2_FILE_OFFSET, [BAR2_AREA])
        return Reply(payload if len(payload) <= room else payload[:32], [server.memory])
    return Reply(region_info(index, CONFIG_SIZE if index == 7 else 0, 3 if index == 7 else 0))


def _irq_info(server: FakeServer, request: Request) -> Reply:
    _, _, index, _ = struct.unpack("=IIII", request.payload)
    flags, count = IRQS.get(index, (EVENTFD, 0))
    return Reply(struct.pack("=IIII", 16, flags, index, count))


def _set_irqs(server: FakeServer, request: Request) -> Reply:
    _, flags, index, start, count = struct.unpack_from("=IIIII", request.payload)
    if flags & 4 and request.fds:
        for position, fd in enumerate(request.fds):
            old = server.eventfds.pop((index, start + position), None)
            if old is not None:
                os.close(old)
            server.eventfds[index, start + position] = os.dup(fd)
    elif flags & 0x20 and not count:
        for key in [key for key in server.eventfds if key[0] == index]:
            os.close(server.eventfds.pop(key))
    return Reply()


def _space(server: FakeServer, region: int) -> bytearray | None:
    return {0: server.bar0, 7: server.config}.get(region)


def _read(server: FakeServer, request: Request) -> Reply:
    offset, region, count = struct.unpack("=QII", request.payload)
    if region == 2:
        data = os.pread(server.memory, count, BAR2_FILE_OFFSET + offset)
    else:
        space = _space(server, region)
        if space is None or offset + count > len(space):
            return Reply(error=22)
        data = bytes(space[offset : offset + count])
    return Reply(request.payload + data)


def _write(server: FakeServer, request: Request) -> Reply:
    _store(server, request.payload[:16], request.payload[16:])
    return Reply(request.payload[:16])


def _store(server: FakeServer, head: bytes, data: bytes) -> None:
    offset, region, count = struct.unpack("=QII", head)
    assert len(data) == count
    space = _space(server, region)
    if space is None:
        os.pwrite(server.memory, data, BAR2_FILE_OFFSET + offset)
    else:
        space[offset : offset + count] = data


def _write_multi(server: FakeServer, request: Request) -> Reply:
    (count,) = struct.unpack_from("=Q", request.payload)
    for position in range(count):
        at = 8 + 24 * position
        (size,) = struct.unpack_from("=I", request.payload, at + 12)
        _store(server, request.payload[at : at + 16], request.payload[at + 16 : at + 16 + size])
    return Reply(struct.pack("=Q", count))


def _map(server: FakeServer, request: Request) -> Reply:
    _, _, _, address, size = struct.unpack("=IIQQQ", request.payload)
    if address in server.maps:  # a client that was told that it failed maps it again
        os.close(server.maps[address][0])
    server.maps[address] = (os.dup(request.fds[0]), size)
    return Reply()


def _unmap(server: FakeServer, request: Request) -> Reply:
    _, _, address, _ = struct.unpack("=IIQQ", request.payload)
    if address not in server.maps:
        return Reply(error=2)
    os.close(server.maps.pop(address)[0])
    return Reply(request.payload)


def _reset(server: FakeServer, request: Request) -> Reply:
    server.config[:] = _configuration()
    return Reply()


_DEFAULTS: dict[int, Callable[[FakeServer, Request], Reply]] = {
    VERSION: _version,
    DMA_MAP: _map,
    DMA_UNMAP: _unmap,
    GET_INFO: _info,
    REGION_INFO: _region,
    IRQ_INFO: _irq_info,
    SET_IRQS: _set_irqs,
    REGION_READ: _read,
    REGION_WRITE: _write,
    WRITE_MULTI: _write_multi,
    RESET: _reset,
}


def _configuration() -> bytearray:
    space = bytearray(CONFIG_SIZE)
    struct.pack_into("<HHHH", space, 0, 0x1234, 0x5678, 0, 0x10)  # STATUS: there is a list
    space[0x34] = 0x40
    struct.pack_into("<BBHII", space, 0x40, 0x11, 0x50, 8 - 1, 0x800, 0x900)  # MSI-X
    struct.pack_into("<BBH", space, 0x50, 0x05, 0, 2 << 1)  # MSI, four vectors
    return space


def _receive(source: socket.socket, size: int) -> tuple[bytes, list[int]]:
    data, fds = b"", array.array("i")
    while len(data) < size:
        piece, ancillary, _, _ = source.recvmsg(size - len(data), 4096)
        for _, _, rights in ancillary:
            fds.frombytes(rights)
        if not piece:
            break
        data += piece
    return data, list(fds)


def _send(target: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = target.sendmsg([data], ancillary)
    if sent < len(data):
        target.sendall(data[sent:])
