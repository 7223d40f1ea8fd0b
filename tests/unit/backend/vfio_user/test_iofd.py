"""Writes that a descriptor stands for."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator

import pytest

import pymmio
from pymmio.errors import ForkedObject, ProtocolError
from tests.children import in_forked_child
from tests.unit.backend.vfio_user.fake_server import (
    IO_FDS,
    PAGE,
    REGION_WRITE,
    Reply,
    Request,
    fake_server,
)

PLAIN, REGION, SHADOW = 0, 1, 2
DATAMATCH = 1


@pytest.fixture
def event() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


@pytest.fixture
def memory() -> Iterator[int]:
    fd = os.memfd_create("shadow", os.MFD_CLOEXEC)
    os.ftruncate(fd, PAGE)
    yield fd
    os.close(fd)


def answer(
    fds: list[int], *entries: tuple[int, ...], form: str = "QQIIIIQ"
) -> Callable[[Request], Reply]:
    """Offer entries for BAR0, none for the others."""
    body = b"".join(struct.pack("=" + form, *entry) for entry in entries)

    def reply(request: Request) -> Reply:
        room, _, index, _ = struct.unpack("=IIII", request.payload)
        if index != 0:
            return Reply(struct.pack("=IIII", 16, 0, index, 0))
        needed = 16 + len(body)
        head = struct.pack("=IIII", needed, 0, 0, len(entries))
        return Reply(head + body, fds) if needed <= room else Reply(head)

    return reply


def taken(event: int) -> int:
    try:
        return os.eventfd_read(event)
    except BlockingIOError:
        return 0


def test_a_write_of_its_width_and_value_signals_and_sends_nothing(event: int) -> None:
    offers = answer([event], (0x10, 4, 0, PLAIN, 0, 0, 0), (0x20, 4, 0, PLAIN, DATAMATCH, 0, 7))
    with fake_server({IO_FDS: offers}) as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        before = len(server.requests)
        bar.write32(0x10, 99)
        assert (taken(event), len(server.requests)) == (1, before)
        bar.write32(0x20, 7)
        assert (taken(event), len(server.requests)) == (1, before)
        bar.write32(0x20, 8)
        bar.write16(0x10, 1)
        bar.write32(0x14, 1)
        assert taken(event) == 0
        assert server.commands()[before:] == [REGION_WRITE] * 3


def test_the_value_is_in_the_shadow_before_the_signal(event: int, memory: int) -> None:
    offers = answer([event, memory], (8, 4, 0, SHADOW, 0, 1, 0x40, 0), form="QQIIIIQQ")
    with fake_server({IO_FDS: offers}) as (server, uri), pymmio.open_device(uri) as device:
        before = len(server.requests)
        device.region(0).doorbell(8).ring(0x11223344)
        assert os.pread(memory, 4, 0x40) == b"\x44\x33\x22\x11"
        assert taken(event) == 1
        assert len(server.requests) == before + 1  # which asked for the descriptors


def test_any_width_where_the_size_is_zero(event: int) -> None:
    offers = answer([event], (0x10, 0, 0, PLAIN, 0, 0, 0))
    with fake_server({IO_FDS: offers}) as (_, uri), pymmio.open_device(uri) as device:
        for width in (1, 2, 4, 8):
            device.region(0).write(0x10, width, 1)
        assert taken(event) == 4


def test_whole_messages_for_a_kernel_are_left_to_messages(event: int) -> None:
    offers = answer([event], (0x10, 4, 0, REGION, 0, 0, 0), (0x20, 4, 0, PLAIN, 2, 0, 0),
                    (0x30, 4, 0, 9, 0, 0, 0), (0x40, 4, 0, PLAIN, 8, 0, 0))  # fmt: skip
    with fake_server({IO_FDS: offers}) as (server, uri), pymmio.open_device(uri) as device:
        for offset in (0x10, 0x20, 0x30, 0x40):
            device.region(0).write32(offset, 1)
        assert taken(event) == 0
        assert server.commands().count(REGION_WRITE) >= 4


def test_more_of_them_than_there_was_room_for(event: int) -> None:
    offers = answer([event], *[(8 * n, 4, 0, PLAIN, 0, 0, 0) for n in range(100)])
    with fake_server({IO_FDS: offers}) as (server, uri), pymmio.open_device(uri) as device:
        device.region(0).write32(8 * 99, 1)
        assert taken(event) == 1
        assert server.commands().count(IO_FDS) == 2


def test_a_full_counter_does_not_block(event: int) -> None:
    offers = answer([event], (0x10, 4, 0, PLAIN, 0, 0, 0))
    with fake_server({IO_FDS: offers}) as (_, uri), pymmio.open_device(uri) as device:
        os.eventfd_write(event, 2**64 - 2)
        os.set_blocking(event, True)
        device.region(0).write32(0x10, 1)


def test_a_forked_child_signals_nobody(event: int) -> None:
    offers = answer([event], (0x10, 4, 0, PLAIN, 0, 0, 0))
    with fake_server({IO_FDS: offers}) as (_, uri), pymmio.open_device(uri) as device:
        handle = device.handle.open_region(0)

        def child() -> None:
            with pytest.raises(ForkedObject):
                handle.write(0x10, 4, 1)

        in_forked_child(child)
        assert taken(event) == 0
        handle.write(0x10, 4, 1)
        assert taken(event) == 1


def test_they_can_be_switched_off(event: int) -> None:
    offers = answer([event], (0x10, 4, 0, PLAIN, 0, 0, 0))
    with fake_server({IO_FDS: offers}) as (server, uri):
        with pymmio.open_device(uri + "?ioeventfd=off") as device:
            device.region(0).write32(0x10, 1)
        assert IO_FDS not in server.commands()


@pytest.mark.parametrize(
    "entry",
    [
        (0x1000, 4, 0, PLAIN, 0, 0, 0, 0),
        (0, 4, 7, PLAIN, 0, 0, 0, 0),
        (0, 4, 1, PLAIN, 0, 0, 0, 0),
        (0, 4, 0, SHADOW, 0, 0, 0, 0),
        (0, 4, 0, SHADOW, 0, 9, 0, 0),
        (0, 4, 0, SHADOW, 0, 1, PAGE - 7, 0),
        (0, 4, 0, SHADOW, 0, 1, 2**64 - 4, 0),
    ],
    ids=["offset", "no such", "no eventfd", "shadow no memory", "no shadow", "cut off", "wraps"],
)
def test_what_cannot_be_leaves_no_descriptor(
    event: int, memory: int, entry: tuple[int, ...]
) -> None:
    offers = answer([event, memory], (0x80, 4, 0, PLAIN, 0, 0, 0, 0), entry, form="QQIIIIQQ")
    with fake_server({IO_FDS: offers}) as (_, uri), pymmio.open_device(uri) as device:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ProtocolError):
            device.region(0)
        assert len(os.listdir("/proc/self/fd")) == before
