"""Whatever a client sends, the server lives, answers the next one, and keeps nothing.

The server is a process of its own: what counts are its descriptors and its mappings.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymmio.backend.vfio_user.messages import (
    Capabilities,
    Command,
    DmaMap,
    DmaUnmap,
    RegionData,
    RegionRequest,
    SetIrqs,
    TwinSocket,
    Version,
)
from pymmio.backend.vfio_user.messages.irq import IrqAction, IrqData
from pymmio.testing import served
from tests.unit.testing.test_serving import servers_of

IS_LONG = settings().max_examples >= 100
EXAMPLES = 320 if IS_LONG else 5
MESSAGES = 25_000
"""Sent altogether; as many are sent to the client by a hostile server."""
MODELS = {"edu": {}, "nvme": {"size": "4M"}, "access-recorder": {"size": "4K"}}
DEADLINE_S = 30.0
HEADER = struct.Struct("=HHIII")
VERSION = 1
TRUNCATED_SIZE = 1 << 16


@dataclass
class Target:
    """A server in another process, and what it had before the first client."""

    socket: str
    pid: int
    descriptors: list[str] = field(default_factory=list)
    mappings: list[str] = field(default_factory=list)
    sent: int = 0

    def state(self) -> tuple[list[str], list[str]]:
        """Return what its descriptors are, and what of memory and files it has mapped."""
        where = Path(f"/proc/{self.pid}")
        descriptors = sorted(_kind(os.readlink(one)) for one in (where / "fd").iterdir())
        lines = (where / "maps").read_text().splitlines()
        return descriptors, sorted(_file(line) for line in lines if "memfd:" in line)


def _kind(link: str) -> str:
    return link.partition(":[")[0] if link.startswith("socket:") else link


def _file(line: str) -> str:
    return line.split(maxsplit=5)[5]


@pytest.fixture(scope="module", params=MODELS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    with served(request.param, **MODELS[request.param]) as uri:
        path = uri.removeprefix("vfio-user:")
        (pid,) = servers_of(path)
        found = Target(path, pid)
        for _ in range(2):  # the second finds everything that is loaded late
            well_behaved(found)
        found.descriptors, found.mappings = settled(found)
        yield found
        well_behaved(found)
        assert settled(found) == (found.descriptors, found.mappings)
        if IS_LONG:
            assert found.sent > MESSAGES / len(MODELS)


def settled(target: Target) -> tuple[list[str], list[str]]:
    """Wait until the server has let go of the client that has just left."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        state = target.state()
        if not any(name in one for one in state[1] for name in ("doorbells", "hostile")):
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.01)


# --- what is sent ------------------------------------------------------------------------------

small = st.integers(0, 12)
words = st.one_of(
    small, st.sampled_from([0x40, 4095, 4096, 0x7FFF_FFFF]), st.integers(0, 2**32 - 1)
)
longs = st.one_of(
    words,
    st.sampled_from([0x1000, 0x10000, 2**63 - 1, 2**63, 2**64 - 4096]),
    st.integers(0, 2**64 - 1),
)
pages = st.integers(0, 16).map(lambda n: n * 4096)
few_bytes = st.binary(max_size=40)
FDS = ("memory", "short memory", "cut memory", "eventfd", "full eventfd", "pipe", "socket", "file")
some_fds = st.lists(st.sampled_from(FDS), max_size=4)
commands = st.one_of(st.sampled_from(list(Command)), st.integers(0, 2**16 - 1))

versions = st.builds(
    Version,
    st.sampled_from([0, 0, 0, 0, 1, 65535]),
    st.integers(0, 3),
    st.builds(
        Capabilities,
        max_msg_fds=st.integers(0, 300),
        max_data_xfer_size=st.sampled_from([1, 100, 1 << 20, 1 << 40]),
        write_multiple=st.booleans(),
        twin_socket=st.builds(TwinSocket, st.booleans()),
    ),
)
maps = st.builds(DmaMap, pages, pages.filter(bool), st.one_of(st.just(0), pages), st.integers(0, 4))
unmaps = st.builds(DmaUnmap, st.one_of(pages, longs), pages, st.integers(0, 4))
reads = st.builds(RegionRequest, small, st.one_of(small, words, longs), st.one_of(small, words))
configuration = st.builds(
    RegionData, st.just(7), st.sampled_from([4, 4, 4, 0x10, 0x30, 0x44]), st.just(b"\x06\0")
)
edu_dma = st.builds(  # memory that was lent without a descriptor is asked for
    RegionData,
    st.just(0),
    st.sampled_from([0x80, 0x88, 0x90, 0x98, 0x98]),
    st.sampled_from([0, 1, 3, 7, 16, 4096, 0x40000]).map(lambda n: n.to_bytes(4, "little")),
)
writes = st.one_of(
    configuration, edu_dma, st.builds(RegionData, small, st.one_of(small, words), few_bytes)
)


@st.composite
def irq_sets(draw: st.DrawFn) -> bytes:
    count = draw(st.integers(0, 4))
    data = draw(st.sampled_from(list(IrqData)))
    chosen = tuple(draw(st.booleans()) for _ in range(count)) if data is IrqData.BOOL else ()
    action = draw(st.sampled_from(list(IrqAction)))
    return SetIrqs(draw(st.integers(0, 5)), data, action, draw(small), count, chosen).pack()


def structures(*members: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    """Numbers of 32 bits one after the other: what no careful program would send."""
    return st.tuples(*members).map(lambda numbers: struct.pack(f"={len(numbers)}I", *numbers))


def packed(strategy: st.SearchStrategy) -> st.SearchStrategy[bytes]:
    return strategy.map(lambda one: one.pack())


BODIES: dict[int, st.SearchStrategy[bytes]] = {
    Command.VERSION: packed(versions),
    Command.DMA_MAP: st.one_of(packed(maps), packed(maps), structures(*[words] * 8)),
    Command.DMA_UNMAP: st.one_of(packed(unmaps), structures(*[words] * 6)),
    Command.DEVICE_GET_INFO: structures(words, words, words, words),
    Command.DEVICE_GET_REGION_INFO: structures(
        st.sampled_from([0, 32, 64, 4096, 2**32 - 1]), words, small, words, *[words] * 4
    ),
    Command.DEVICE_GET_REGION_IO_FDS: structures(words, small, small, small),
    Command.DEVICE_GET_IRQ_INFO: structures(words, words, small, words),
    Command.DEVICE_SET_IRQS: st.one_of(irq_sets(), structures(words, words, small, small, words)),
    Command.REGION_READ: packed(reads),
    Command.REGION_WRITE: packed(writes),
    Command.REGION_WRITE_MULTI: st.one_of(
        st.binary(max_size=80),
        st.lists(st.tuples(longs, small, small, longs), max_size=3).map(
            lambda some: (
                struct.pack("=Q", len(some)) + b"".join(struct.pack("=QIIQ", *one) for one in some)
            )
        ),
    ),
    Command.DEVICE_RESET: st.just(b""),
    Command.DEVICE_FEATURE: structures(words, words, words),
}
mended_sizes = st.one_of(st.just(0), st.just(0), st.just(0), st.integers(-40, 40), words)


@dataclass(frozen=True)
class Hostile:
    """A message, or what is left of one."""

    data: bytes
    fds: tuple[str, ...] = ()


@st.composite
def messages(draw: st.DrawFn) -> Hostile:
    if draw(st.integers(0, 30)) == 0:
        return Hostile(draw(st.binary(max_size=64)), tuple(draw(some_fds)))
    command = draw(st.one_of(st.sampled_from(list(BODIES)), commands))
    body = draw(BODIES.get(command, few_bytes)) if draw(st.integers(0, 9)) else draw(few_bytes)
    wrong_size = draw(mended_sizes) if draw(st.integers(0, 14)) == 0 else 0
    flags = draw(st.sampled_from([0, 0, 0, 0, 0x10, 0x10, 0x1, 0x21, 0x20, 0xFFFF_FFFF]))
    if draw(st.integers(0, 9)):
        flags &= 0x10
    size = max(0, min(16 + len(body) + wrong_size, 2**32 - 1))
    fds: list[str] = []
    if command in (Command.DMA_MAP, Command.DEVICE_SET_IRQS) or draw(st.integers(0, 9)) == 0:
        fds = draw(some_fds)
    head = HEADER.pack(draw(st.integers(0, 2**16 - 1)), command, size, flags, draw(small))
    return Hostile(head + body, tuple(fds))


talks = st.lists(messages(), min_size=20, max_size=50)
answers = st.lists(
    st.tuples(st.sampled_from(["right", "right", "error", "wrong id", "short", "none"]), few_bytes),
    max_size=8,
)


# --- who sends it ------------------------------------------------------------------------------


class Client:
    """Sends without waiting for answers; reads what comes so that the server can go on."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.deadline = time.monotonic() + DEADLINE_S
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(target.socket)
        self.received = b""
        self.is_over = False
        self.replies = 0
        self.answers: list[tuple[str, bytes]] = []
        self._owned: list[int] = []

    def send(self, message: Hostile) -> None:
        fds = [self._make(kind) for kind in message.fds]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        rest = memoryview(message.data)
        while rest and not self.is_over:
            ready = self._wait(select.POLLIN | select.POLLOUT)
            if ready & (select.POLLIN | select.POLLHUP):
                self._take()
            elif ready & select.POLLOUT:
                try:
                    done = self.socket.sendmsg([rest], rights, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    self.is_over = True
                    return
                rest, rights = rest[done:], []
        self.target.sent += 1

    def finish(self) -> None:
        """Say that nothing more comes; read until the server has understood that."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        while not self.is_over:
            self._wait(select.POLLIN)
            self._take()
        self.close()

    def close(self) -> None:
        self.socket.close()
        while self._owned:
            os.close(self._owned.pop())

    def _wait(self, what: int) -> int:
        poll = select.poll()
        poll.register(self.socket, what)
        left = self.deadline - time.monotonic()
        found = poll.poll(max(0.0, left) * 1000)
        assert found, "the server hangs"
        return found[0][1]

    def _take(self) -> None:
        try:
            data, ancillary, _, _ = self.socket.recvmsg(1 << 16, 4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.is_over = True
            return
        for _, _, rights in ancillary:
            found = array.array("i")
            found.frombytes(rights[: len(rights) // 4 * 4])
            self._owned += found
        self.is_over = not data
        self.received += data
        self._answer()

    def _answer(self) -> None:
        """Answer what the server asks for, as the example says; drop everything else."""
        while len(self.received) >= 16:
            number, command, size, flags, _ = HEADER.unpack_from(self.received)
            assert size >= 16
            if len(self.received) < size:
                return
            payload, self.received = self.received[16:size], self.received[size:]
            self.replies += flags & 0x21 == 1
            if flags & 0xF or command not in (Command.DMA_READ, Command.DMA_WRITE):
                continue
            how, extra = self.answers.pop(0) if self.answers else ("right", b"")
            body = payload[:16]
            if command == Command.DMA_READ:
                body += bytes(min(struct.unpack("=Q", payload[8:16])[0], 1 << 20))
            match how:
                case "none":
                    continue
                case "error":
                    flags, body = 0x21, b""
                case "wrong id":
                    number ^= 0x55
                case "short":
                    body = body[:7] + extra
            head = HEADER.pack(number, command, 16 + len(body), flags & 0x20 | 1, 5)
            with suppress(OSError):
                self.socket.sendall(head + body)

    def _make(self, kind: str) -> int:
        if kind == "eventfd":
            made = [os.eventfd(0)]
        elif kind == "full eventfd":
            made = [os.eventfd(0)]
            os.eventfd_write(made[0], 2**64 - 2)
        elif kind == "pipe":
            made = list(os.pipe())
        elif kind == "socket":
            one, other = socket.socketpair()
            made = [one.detach(), other.detach()]
        elif kind == "file":
            made = [os.open(__file__, os.O_RDONLY)]
        else:
            made = [os.memfd_create("hostile")]
            os.ftruncate(made[0], 100 if kind == "short memory" else TRUNCATED_SIZE)
            if kind == "cut memory":
                self._owned.append(os.dup(made[0]))
                os.ftruncate(made[0], 4096)
        self._owned += made
        return made[0]


def well_behaved(target: Target) -> None:
    """Shake hands, read the configuration space, leave."""
    client = Client(target)
    client.send(Hostile(HEADER.pack(1, VERSION, 20, 0, 0) + bytes(4)))
    read = RegionRequest(7, 0, 4).pack()
    client.send(Hostile(HEADER.pack(2, Command.REGION_READ, 16 + len(read), 0, 0) + read))
    while client.replies < 2:
        assert not client.is_over, "the server refuses a well-behaved client"
        client._wait(select.POLLIN)
        client._take()
    client.finish()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.booleans(), talks, answers)
def test_any_talk_leaves_the_server_alive(
    target: Target, begins_well: bool, talk: list[Hostile], reactions: list[tuple[str, bytes]]
) -> None:
    client = Client(target)
    client.answers = reactions
    try:
        if begins_well or len(talk) % 8:
            client.send(Hostile(HEADER.pack(1, VERSION, 20, 0, 0) + bytes(4)))
        for message in talk:
            client.send(message)
        client.finish()
    finally:
        client.close()
    assert Path(f"/proc/{target.pid}").exists()
