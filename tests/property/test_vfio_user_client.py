"""Whatever a server sends, the client raises pymmio's exceptions, ends in time, keeps nothing.

The messages go over a real socket into this process: its descriptors, mappings and threads are
the same before and after.
"""

from __future__ import annotations

import gc
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pymmio
from pymmio.errors import PymmioError
from tests.unit.backend.vfio_user.fake_server import (
    BAR2_AREA,
    DMA_READ,
    DMA_WRITE,
    HEADER,
    IO_FDS,
    PAGE,
    REPLY,
    VERSION,
    FakeServer,
    Raw,
    Reply,
    Request,
)

IS_LONG = settings().max_examples >= 100
EXAMPLES = 200 if IS_LONG else 5
REPEATS = 25
MESSAGES = 25_000
"""Sent altogether; as many are sent to the server by a hostile client."""
TALK_LIMIT_S = 20.0
TIMEOUT_S = 0.05
MAPPED = 0x10000


@dataclass(frozen=True)
class Wrong:
    """What happens to a reply: ``how``, with ``number`` and ``data`` for it."""

    how: str
    number: int
    data: bytes


numbers = st.one_of(
    st.integers(0, 64),
    st.sampled_from([PAGE, 0x1000, 0x10000, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)
some_bytes = st.binary(max_size=48)
# Most leave the connection as it is, so that much is said over each.
HOW = [
    *["right"] * 8,
    *["errno", "payload", "cut", "longer", "word", "descriptors"] * 3,
    *["silence", "other number", "other command", "size", "flags", "raw", "close"],
]
wrongs = st.builds(Wrong, st.sampled_from(HOW), numbers, some_bytes)
requests = st.tuples(
    st.sampled_from([DMA_READ, DMA_WRITE, DMA_READ, DMA_WRITE, 1, 9, 14, 0xFFFF]),
    st.one_of(st.integers(0, 3 * MAPPED), numbers),
    st.one_of(st.integers(0, 64), st.integers(0, 2 * MAPPED), numbers),
    st.sampled_from(["right", "right", "right", "count", "cut", "no reply", "descriptors"]),
)
bursts = st.lists(requests, max_size=6)
OPERATIONS = [
    "read8", "read32", "read64", "write16", "write32", "read_block", "write_block", "config",
    "mapped", "doorbell", "alloc", "alloc", "free", "msix", "msi", "intx", "disable", "wait",
    "reset", "reconnect",
]  # fmt: skip
operations = st.lists(st.sampled_from(OPERATIONS), min_size=10, max_size=30)


class HostileServer(FakeServer):
    """Answers as an example says, and asks for memory in between; counts what it sends."""

    talk: list[tuple[Wrong, list[tuple[int, int, int, str]]]]
    begins_well: int
    sent = 0

    def _answer(self, request: Request) -> Reply | Raw | None:
        self.begins_well -= 1
        if self.begins_well >= 0 or not self.talk:
            return self._right(request)
        wrong, burst = self.talk.pop()
        if request.command != VERSION:
            for command, address, count, how in burst:
                for turn in range(REPEATS):  # one drawn example makes some messages
                    where = (address + turn * (count | 1)) % 2**64
                    self.send(*self._asked(command, where, count, how))
                    HostileServer.sent += 1
        HostileServer.sent += 1
        return self._made_wrong(request, wrong)

    def _right(self, request: Request) -> Reply | Raw | None:
        try:
            return super()._answer(request)
        except Exception:  # what it has to answer follows from what it said before
            return Reply(error=22)

    def _asked(self, command: int, address: int, count: int, how: str) -> tuple[bytes, list[int]]:
        payload = struct.pack("=QQ", address, count)
        if command == DMA_WRITE and count <= MAPPED and how != "count":
            payload += bytes(count)
        if how == "cut":
            payload = payload[: count % 20]
        flags = 0x10 if how == "no reply" else 0
        fds = [0, 1, 2] if how == "descriptors" else []
        return HEADER.pack(count & 0xFFFF, command, 16 + len(payload), flags, 0) + payload, fds

    def _made_wrong(self, request: Request, wrong: Wrong) -> Reply | Raw | None:
        right = self._right(request)
        if not isinstance(right, Reply) or wrong.how == "right":
            return right
        low = wrong.number & 0xFFFF
        payload, fds, is_owner = right.payload, right.fds, right.is_owner
        match wrong.how:
            case "silence":
                return self._instead(right, None)
            case "raw":
                return self._instead(right, Raw(wrong.data))
            case "close":
                return self._instead(right, Raw(wrong.data[:20], close=True))
            case "size":
                size = wrong.number & 0xFFFF_FFFF
                head = HEADER.pack(request.number, request.command, size, REPLY, 0)
                return self._instead(right, Raw(head + payload, close=size > 2 * len(payload)))
            case "flags":
                flags = wrong.number & 0xFFFF_FFFF
                head = HEADER.pack(request.number, request.command, 16 + len(payload), flags, low)
                return self._instead(right, Raw(head + payload))
            case "errno":
                return self._instead(right, Reply(error=low % 200))
            case "other number":
                return Reply(payload, fds, is_owner=is_owner, number=low)
            case "other command":
                return Reply(payload, fds, is_owner=is_owner, command=low % 20)
            case "payload":
                return Reply(wrong.data, fds, is_owner=is_owner)
            case "cut":
                return Reply(payload[: wrong.number % (len(payload) + 1)], fds, is_owner=is_owner)
            case "longer":
                return Reply(payload + wrong.data, fds, is_owner=is_owner)
            case "word":
                at = wrong.number % max(1, len(payload) - 3)
                changed = payload[:at] + wrong.data[:4] + payload[at + len(wrong.data[:4]) :]
                return Reply(changed, fds, is_owner=is_owner)
            case _:
                kept = fds if is_owner else []
                return Reply(payload, [*(fds or [0] * (low % 9))], is_owner=bool(kept))

    def _instead(self, right: Reply, other: Reply | Raw | None) -> Reply | Raw | None:
        """Return ``other``; descriptors that would have been sent are closed."""
        for fd in right.fds if right.is_owner else ():
            os.close(fd)
        return other


def offers(request: Request) -> Reply:
    """Offer an ioeventfd and one with a shadow for BAR0."""
    event, memory = os.eventfd(0, os.EFD_CLOEXEC), os.memfd_create("shadow", os.MFD_CLOEXEC)
    os.ftruncate(memory, PAGE)
    entries = [(0x40, 4, 0, 0, 0, 0, 0, 0), (0x48, 4, 0, 2, 0, 1, 0x10, 0)]
    (index,) = struct.unpack_from("=I", request.payload, 8)
    body = b"".join(struct.pack("=QQIIIIQQ", *entry) for entry in entries)
    head = struct.pack("=IIII", 16 + len(body), 0, index, len(entries))
    return Reply(head + body, [event, memory], is_owner=True)


def use(device: pymmio.Device, operation: str, held: list[pymmio.dma.DmaBuffer]) -> None:
    """Do one thing with the device; what comes back does not matter, only how."""
    irqs = device.irqs
    match operation:
        case "read8" | "read32" | "read64":
            getattr(device.region(0), operation)(8)
        case "write16" | "write32":
            getattr(device.region(0), operation)(0x40, 7)
        case "read_block":
            device.region(0).read_block(0, 40, width=4)
        case "write_block":
            device.region(0).write_block(0x80, bytes(40), width=4)
        case "config":
            device.config.capabilities()
        case "mapped":
            device.region(2).write32(BAR2_AREA[0], 1)
        case "doorbell":
            device.region(0).doorbell(0x48).ring(5)
        case "alloc":
            held.append(device.dma.alloc(MAPPED))
        case "free":
            if held:
                held.pop().close()
        case "msix" | "msi" | "intx":
            irqs.of_kind(pymmio.handle.IrqKind(operation)).enable(1 + (operation == "msix"))
        case "disable":
            irqs.msix.disable()
            irqs.msi.disable()
            irqs.intx.disable()
        case "wait":
            irqs.intx[0].try_take()
        case "reset":
            device.reset()
        case _:
            device.reconnect(0.0)


def state() -> tuple[list[str], list[str], int]:
    """Return descriptors by what they are, mapped files, and how many threads run."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{name}").partition(":[")[0])
    lines = Path("/proc/self/maps").read_text().splitlines()
    mapped = [line.split(maxsplit=5)[5] for line in lines if "memfd:" in line]
    return sorted(links), sorted(mapped), threading.active_count()


def left_behind(before: tuple[list[str], list[str], int]) -> list[str]:
    """Return what is there beyond ``before``, at once if nothing is, else after some seconds.

    Less may be there: what tests of other files left goes when it is collected.
    """
    deadline = time.monotonic() + 10
    while True:
        now = state()
        more = [
            thing
            for new, old in zip(now[:2], before[:2], strict=True)
            for thing in (Counter(new) - Counter(old)).elements()
        ]
        more += ["a thread"] * (now[2] - before[2])
        if not more or time.monotonic() > deadline:
            return more
        time.sleep(0.002)


@pytest.fixture(scope="module", autouse=True)
def enough() -> Iterator[None]:
    HostileServer.sent = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pymmio.backend.vfio_user.device._RESET_S", TIMEOUT_S)  # 30 s otherwise
        yield
    if IS_LONG:
        assert HostileServer.sent > MESSAGES


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.booleans(),
    st.one_of(st.integers(0, 30), st.just(25), st.just(25)),
    st.lists(st.tuples(wrongs, bursts), min_size=10, max_size=30),
    operations,
)
def test_any_talk_ends_in_time_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    twin: bool,
    begins_well: int,
    talk: list[tuple[Wrong, list[tuple[int, int, int, str]]]],
    todo: list[str],
) -> None:
    before = settled_start()
    path = str(tmp_path_factory.getbasetemp() / "hostile")
    begin = time.monotonic()
    with ExitStack() as undo:
        server = HostileServer(path, {IO_FDS: offers}, twin=twin)
        undo.callback(server.close)
        server.talk, server.begins_well = talk, begins_well
        with suppress(PymmioError):
            device = pymmio.open_device(f"vfio-user:{path}?timeout={TIMEOUT_S}")
            held: list[pymmio.dma.DmaBuffer] = []
            try:
                for operation in todo:
                    with suppress(PymmioError):
                        use(device, operation, held)
            finally:
                server.talk = []
                device.close()
    assert time.monotonic() - begin < TALK_LIMIT_S
    assert left_behind(before) == []


_first: list[tuple[list[str], list[str], int]] = []


def settled_start() -> tuple[list[str], list[str], int]:
    """Return the state before the first talk, which is that before each."""
    if not _first:
        with pymmio.open_device("sim:edu") as device:  # what stays open for good is open then
            device.dma.alloc(4096)
            device.region(0).read32(0)
        gc.collect()
        _first.append(state())
    return _first[0]
