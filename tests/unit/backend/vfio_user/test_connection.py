"""Requests, replies, deadlines, and the device's own requests between them."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

import pymmio
from pymmio.backend import open_handle
from pymmio.backend.vfio_user.device import VfioUserDevice
from pymmio.errors import (
    Closed,
    DeviceBusy,
    DeviceGone,
    DeviceTimeout,
    ForkedObject,
    PermissionRefused,
    ProtocolError,
    PymmioError,
    Unsupported,
)
from pymmio.uri import DeviceUri
from tests.children import in_forked_child
from tests.unit.backend.vfio_user.fake_server import (
    DEADLINE_S,
    DMA_READ,
    DMA_WRITE,
    GET_INFO,
    HEADER,
    REGION_READ,
    REGION_WRITE,
    REPLY,
    RESET,
    VERSION,
    Raw,
    Reply,
    Request,
    fake_server,
)

BOTH = pytest.mark.parametrize("twin", [False, True], ids=["one socket", "twin socket"])


def read_reply(request: Request, value: int) -> bytes:
    """Return the payload of the reply to a REGION_READ of 4 bytes."""
    return request.payload + value.to_bytes(4, "little")


def when_lost(device: pymmio.Device) -> Exception:
    """Wait until everybody is turned away; return what is raised."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            device.region(0)
        except PymmioError as error:
            return error
        time.sleep(0.002)
    raise AssertionError("nobody was turned away")


def test_an_access_is_one_message_of_its_width() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        before = len(server.requests)
        bar.write32(0x10, 0x11223344)
        assert bar.read16(0x10) == 0x3344
        new = server.requests[before:]
        assert [(r.command, r.payload) for r in new] == [
            (REGION_WRITE, struct.pack("=QII", 0x10, 0, 4) + b"\x44\x33\x22\x11"),
            (REGION_READ, struct.pack("=QII", 0x10, 0, 2)),
        ]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (13, PermissionRefused),
        (16, DeviceBusy),
        (19, DeviceGone),
        (95, Unsupported),
        (22, Unsupported),
        (0, Unsupported),
    ],
)
def test_an_error_reply_says_what_was_asked(number: int, kind: type[PymmioError]) -> None:
    with (
        fake_server({RESET: lambda request: Reply(error=number)}) as (_, uri),
        pymmio.open_device(uri) as device,
        pytest.raises(kind, match="reset: the server refuses"),
    ):
        device.reset()


def test_a_late_reply_is_dropped_and_the_next_request_gets_its_own() -> None:
    answered = threading.Event()

    def late(request: Request) -> Reply:
        if not answered.is_set():
            answered.wait(DEADLINE_S)
        return Reply(read_reply(request, request.number))

    with fake_server() as (server, uri), pymmio.open_device(uri + "?timeout=0.05") as device:
        bar = device.region(0)
        server.answers[REGION_READ] = late
        with pytest.raises(DeviceTimeout, match=r"no reply within 0\.05 s"):
            bar.read32(0)
        answered.set()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                assert bar.read32(0) == server.requests[-1].number
                break
            except DeviceTimeout:
                assert time.monotonic() < deadline


@BOTH
def test_the_device_reads_and_writes_memory_while_nobody_asks(twin: bool) -> None:
    with fake_server(twin=twin) as (server, uri), pymmio.open_device(uri) as device:
        buffer = device.dma.alloc(8192)
        memoryview(buffer)[:4] = b"abcd"
        where = struct.pack("=QQ", buffer.iova + 1, 3)
        head, payload = server.ask(DMA_READ, where)
        assert head == (77, DMA_READ, 16 + 19, REPLY, 0)
        assert payload == where + b"bcd"
        where = struct.pack("=QQ", buffer.iova + 4096, 2)
        head, payload = server.ask(DMA_WRITE, where + b"xy")
        assert (head[3], payload) == (REPLY, where)
        assert bytes(memoryview(buffer)[4096:4099]) == b"xy\0"


@BOTH
def test_the_device_gets_memory_while_its_driver_waits_for_a_reply(twin: bool) -> None:
    seen: list[bytes] = []
    with fake_server(twin=twin) as (server, uri), pymmio.open_device(uri) as device:
        buffer = device.dma.alloc(4096)
        memoryview(buffer)[:4] = b"abcd"

        def ask_first(request: Request) -> Reply:
            where = struct.pack("=QQ", buffer.iova, 4)
            server.send(HEADER.pack(7, DMA_READ, 32, 0, 0) + where)
            if twin:
                seen.append(server.replies.get(timeout=DEADLINE_S)[1])
            return Reply(read_reply(request, 5))

        server.answers[REGION_READ] = ask_first
        assert device.region(0).read32(0) == 5
        if not twin:
            seen.append(server.replies.get(timeout=DEADLINE_S)[1])
        assert seen[0].endswith(b"abcd")


def test_memory_that_is_not_mapped_is_refused_and_remembered() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        buffer = device.dma.alloc(4096)
        for iova, count in ((0x10, 4), (buffer.iova + 4090, 10)):
            head, payload = server.ask(DMA_READ, struct.pack("=QQ", iova, count))
            assert (head[3], head[4], payload) == (REPLY | 0x20, 14, b"")
        head, _ = server.ask(DMA_WRITE, struct.pack("=QQ", buffer.iova + 4095, 2) + b"zz")
        assert head[4] == 14
        assert bytes(memoryview(buffer)[4095:]) == b"\0"
        assert isinstance(device.handle, VfioUserDevice)
        assert [f"{0x10:#x}" in str(fault) for fault in device.handle.dma.faults] == [
            True, False, False,
        ]  # fmt: skip


def test_an_access_may_span_mappings() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        page = device.dma.page_size
        first, second = device.dma.alloc(page), device.dma.alloc(page)
        assert second.iova == first.iova + page
        where = struct.pack("=QQ", first.iova + page - 2, 4)
        server.ask(DMA_WRITE, where + b"wxyz")
        assert bytes(memoryview(first)[page - 2 :]) == b"wx"
        assert server.ask(DMA_READ, where)[1] == where + b"wxyz"


@pytest.mark.parametrize("command", [REGION_READ, 14, 99, 0xFFFF])
def test_requests_that_no_device_may_make_get_an_error(command: int) -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri):
        assert server.ask(command, b"")[0][3:] == (REPLY | 0x20, 95)


def test_requests_without_reply_get_none() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        buffer = device.dma.alloc(4096)
        head = HEADER.pack(3, DMA_WRITE, 16 + 17, 0x10, 0)
        server.send(head + struct.pack("=QQ", buffer.iova, 1) + b"q")
        number = server.ask(DMA_READ, struct.pack("=QQ", buffer.iova, 1), number=4)[0][0]
        assert (number, bytes(memoryview(buffer)[:1])) == (4, b"q")


def test_threads_get_their_own_replies() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        for index in range(64):
            server.bar0[4 * index] = index
        wrong: list[object] = []

        def reader(first: int) -> None:
            for turn in range(100):
                index = (first + turn) % 64
                if bar.read32(4 * index) != index:
                    wrong.append(index)

        threads = [threading.Thread(target=reader, args=(n * 16,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert not wrong
        assert not any(thread.is_alive() for thread in threads)


@BOTH
@pytest.mark.parametrize("what", ["closes", "half a message", "a reply to nothing"])
def test_a_lost_server_turns_everybody_away_while_nobody_asks(twin: bool, what: str) -> None:
    with fake_server(twin=twin) as (server, uri):
        device = pymmio.open_device(uri + "?timeout=0.2")
        bar, mapped = device.region(0), device.region(2)
        vector = device.irqs.msix[0]
        raised: list[BaseException] = []

        def wait(call: Callable[[], object]) -> None:
            try:
                call()
            except BaseException as error:
                raised.append(error)

        area = 0x1000 if mapped.size == 0x4000 else mapped.size // 4
        calls = [
            lambda: vector.wait(DEADLINE_S),
            lambda: mapped.wait32(area, mask=1, value=1, timeout_s=DEADLINE_S),
        ]
        threads = [threading.Thread(target=wait, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        if what == "closes":
            server.hang_up()
        elif what == "half a message":
            server.send(HEADER.pack(1, DMA_READ, 32, 0, 0) + b"abc")
        else:
            server.send(HEADER.pack(555, REGION_READ, 16, REPLY, 0))
        for thread in threads:
            thread.join(DEADLINE_S)
        assert [type(error) for error in raised] == [DeviceGone, DeviceGone]
        assert isinstance(when_lost(device), DeviceGone)
        for call in (
            lambda: bar.read32(0),
            lambda: device.config.vendor_id,
            lambda: device.dma.alloc(4096),
            device.reset,
            device.check_present,
        ):
            with pytest.raises(DeviceGone, match=r"reconnect\(\) when its server is back"):
                call()
        device.close()


def test_who_waits_for_a_reply_when_the_server_dies_learns_it_at_once() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        server.answers[REGION_READ] = lambda request: Reply(close=True, error=5)
        bar = device.region(0)
        with pytest.raises((DeviceGone, pymmio.errors.AccessFault)):
            bar.read32(0)
        with pytest.raises(DeviceGone):
            bar.read32(0)


@pytest.mark.parametrize(
    "answer",
    [
        lambda r: Reply(read_reply(r, 1), number=r.number + 1),
        lambda r: Reply(read_reply(r, 1), command=REGION_WRITE),
        lambda r: Raw(HEADER.pack(r.number, REGION_READ, 15, REPLY, 0)),
        lambda r: Raw(HEADER.pack(r.number, REGION_READ, 2**32 - 1, REPLY, 0)),
        lambda r: Raw(HEADER.pack(r.number, REGION_READ, 16, 2, 0)),
        lambda r: Raw(HEADER.pack(r.number, REGION_READ, 16, 0x20, 0)),
    ],
    ids=["other number", "other command", "too short", "too long", "no type", "error command"],
)
def test_what_breaks_the_stream_is_a_protocol_error_and_the_end(
    answer: Callable[[Request], Reply | Raw],
) -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        server.answers[REGION_READ] = answer
        with pytest.raises(ProtocolError):
            bar.read32(0)
        with pytest.raises(DeviceGone):
            bar.read32(0)


@pytest.mark.parametrize(
    "payload",
    [
        lambda p: b"",
        lambda p: p,
        lambda p: p + bytes(3),
        lambda p: p + bytes(5),
        lambda p: p[:12] + struct.pack("=I", 8) + bytes(8),
        lambda p: struct.pack("=Q", 4) + p[8:] + bytes(4),
        lambda p: p[:8] + struct.pack("=I", 1) + p[12:] + bytes(4),
    ],
    ids=["none", "no data", "3 bytes", "5 bytes", "8 bytes", "other offset", "other region"],
)
def test_a_reply_that_does_not_fit_is_a_protocol_error_and_no_more(
    payload: Callable[[bytes], bytes],
) -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        server.answers[REGION_READ] = lambda request: Reply(payload(request.payload))
        with pytest.raises(ProtocolError):
            bar.read32(0)
        del server.answers[REGION_READ]
        assert bar.read32(0) == 0


def test_close_wakes_who_waits_for_a_reply() -> None:
    asked, release = threading.Event(), threading.Event()

    def never(request: Request) -> None:
        asked.set()
        release.wait(DEADLINE_S)

    raised: list[BaseException] = []
    with fake_server() as (server, uri):
        handle = open_handle(DeviceUri.parse(uri))
        region = handle.open_region(0)
        server.answers[REGION_READ] = never

        def wait() -> None:
            try:
                region.read(0, 4)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        assert asked.wait(DEADLINE_S)
        handle.close()
        thread.join(DEADLINE_S)
        assert [type(error) for error in raised] == [Closed]
        with pytest.raises(Closed):
            region.read(0, 4)
        release.set()


def test_a_forked_child_raises_and_sends_nothing() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        before = len(server.requests)

        def child() -> None:
            with pytest.raises(ForkedObject):
                bar.read32(0)
            with pytest.raises(ForkedObject):
                device.handle.open_region(0).read(0, 4)
            with pytest.raises(ForkedObject):
                device.reset()
            device.close()
            device.handle.close()

        in_forked_child(child)
        assert len(server.requests) == before
        assert bar.read32(0) == 0


def test_requests_of_the_device_without_end_do_not_stop_the_deadline() -> None:
    stop = threading.Event()

    def flood(request: Request) -> None:
        where = HEADER.pack(7, DMA_READ, 32, 0, 0) + struct.pack("=QQ", 0x1000, 4)
        while not stop.is_set():
            server.send(where * 20)
            while not server.replies.empty():
                server.replies.get()

    with fake_server() as (server, uri):
        device = pymmio.open_device(uri + "?timeout=0.3")
        bar = device.region(0)
        server.answers[REGION_READ] = flood
        with pytest.raises((DeviceTimeout, DeviceGone)):
            bar.read32(0)
        stop.set()
        with suppress(DeviceTimeout, DeviceGone):
            device.close()


def test_a_server_that_stopped_is_gone_after_three_requests() -> None:
    stop = threading.Event()
    with fake_server() as (server, uri):
        device = pymmio.open_device(uri + "?timeout=0.05")
        device.dma.alloc(4096)
        bar = device.region(0)

        def never(request: Request) -> None:
            stop.wait(DEADLINE_S)

        server.answers[REGION_READ] = never
        for _ in range(3):
            with pytest.raises(DeviceTimeout):
                bar.read32(0)
        with pytest.raises(DeviceGone, match="3 requests in a row"):
            bar.read32(0)
        device.close()
        stop.set()


def test_a_server_that_is_silent_at_the_start_is_busy() -> None:
    with (
        fake_server({VERSION: lambda request: None}) as (_, uri),
        pytest.raises(DeviceBusy, match=r"within 0\.1 s"),
    ):
        pymmio.open_device(uri + "?timeout=0.1")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Reply(error=22), Unsupported),
        (Reply(struct.pack("=HH", 1, 0)), Unsupported),
        (Reply(struct.pack("=HH", 0, 2)), Unsupported),
        (Reply(b"\0"), ProtocolError),
        (Reply(struct.pack("=HH", 0, 1) + b"{"), ProtocolError),
        (Reply(struct.pack("=HH", 0, 1) + b"[]\0"), ProtocolError),
        (Reply(command=GET_INFO), ProtocolError),
        (Reply(number=9), ProtocolError),
        (Reply(close=True, error=1), PermissionRefused),
        (Raw(b"", close=True), DeviceGone),
        (Raw(b"\0" * 16), ProtocolError),
    ],
)
def test_a_first_reply_that_is_none(answer: Reply | Raw, kind: type[PymmioError]) -> None:
    with fake_server({VERSION: lambda request: answer}) as (_, uri), pytest.raises(kind):
        pymmio.open_device(uri)
