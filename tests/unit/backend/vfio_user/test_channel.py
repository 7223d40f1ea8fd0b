"""Framing, descriptors and deadlines on a socket pair."""

from __future__ import annotations

import array
import os
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType

import pytest

from pymmio.backend.vfio_user.channel import Channel, Message
from pymmio.backend.vfio_user.descriptors import Descriptors
from pymmio.backend.vfio_user.messages import Header
from pymmio.errors import DeviceGone, DeviceTimeout, ProtocolError

HEADER = struct.Struct("=HHIII")
MAX_PAYLOAD = 1 << 20
DEADLINE_S = 20.0


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, max_payload=MAX_PAYLOAD, max_fds=4)
    with theirs:
        yield channel, theirs
        channel.close()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


def sending(target: socket.socket, data: bytes, *fds: int) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    target.sendmsg([data], rights)


def test_a_message_arrives_whole(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    other = Channel(socket.socket(fileno=os.dup(theirs.fileno())), max_payload=99)
    reading, writing = os.pipe()
    channel.send(Header(7, 9, 19), b"abc", [reading], timeout_s=DEADLINE_S)
    message = other.receive(DEADLINE_S)
    assert (message.header, message.payload, len(message.fds)) == (Header(7, 9, 19), b"abc", 1)
    received = message.fds.take(0)
    os.write(writing, b"x")
    assert os.read(received, 1) == b"x"
    assert not os.get_inheritable(received)
    for fd in (received, reading, writing):
        os.close(fd)
    other.close()


def test_descriptors_belong_to_their_message(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    for number, sent in ((1, ()), (2, (0, 1)), (3, (2,))):
        sending(theirs, HEADER.pack(number, 1, 18, 0, 0) + b"ab", *sent)
    seen = []
    for _ in range(3):
        with (message := channel.receive(DEADLINE_S)).fds as fds:
            seen.append((message.header.message_id, len(fds)))
    assert seen == [(1, 0), (2, 2), (3, 1)]


def test_descriptors_may_come_with_the_payload(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    sending(theirs, HEADER.pack(1, 1, 18, 0, 0))
    sending(theirs, b"ab", 0)
    with channel.receive(DEADLINE_S).fds as fds:
        assert len(fds) == 1


def test_a_message_in_pieces_is_put_together(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    data = HEADER.pack(1, 1, 20, 0, 0) + b"abcd"
    for at in range(len(data)):
        with suppress(DeviceTimeout):
            channel.receive(0.0)
        theirs.send(data[at : at + 1])
    assert channel.receive(DEADLINE_S).payload == b"abcd"


def test_a_large_message_goes_through(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    other = Channel(socket.socket(fileno=os.dup(theirs.fileno())), max_payload=MAX_PAYLOAD)
    payload = bytes(range(256)) * (MAX_PAYLOAD // 256)
    header = Header(1, 12, 16 + len(payload))
    thread = threading.Thread(target=channel.send, args=(header, payload), kwargs={"timeout_s": 9})
    thread.start()
    assert other.receive(DEADLINE_S).payload == payload
    thread.join(DEADLINE_S)
    other.close()


@pytest.mark.parametrize("timeout_s", [0.0, 0.02, 0.15])
def test_silence_is_a_timeout_and_no_more(
    ends: tuple[Channel, socket.socket], timeout_s: float
) -> None:
    channel, theirs = ends
    begin = time.monotonic()
    with pytest.raises(DeviceTimeout):
        channel.receive(timeout_s)
    assert time.monotonic() - begin >= timeout_s
    sending(theirs, HEADER.pack(1, 1, 16, 0, 0))
    assert channel.receive(DEADLINE_S).header.message_id == 1


def test_a_peer_that_does_not_read_is_a_timeout_and_breaks_what_was_begun(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, _ = ends
    payload = bytes(MAX_PAYLOAD)
    with pytest.raises(DeviceTimeout):
        channel.send(Header(1, 12, 16 + len(payload)), payload, timeout_s=0.05)
    assert channel.is_broken
    with pytest.raises(DeviceGone, match="in part"):
        channel.send(Header(2, 12), timeout_s=1)


@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(1, 1, 15, 0, 0),
        HEADER.pack(1, 1, 0, 0, 0),
        HEADER.pack(1, 1, 17 + MAX_PAYLOAD, 0, 0),
        HEADER.pack(1, 1, 2**32 - 1, 0, 0),
        HEADER.pack(1, 1, 16, 3, 0),
    ],
)
def test_an_impossible_header_breaks_the_channel(
    ends: tuple[Channel, socket.socket], data: bytes
) -> None:
    channel, theirs = ends
    sending(theirs, data, 0, 1)
    with pytest.raises(ProtocolError):
        channel.receive(DEADLINE_S)
    with pytest.raises(DeviceGone):
        channel.receive(DEADLINE_S)


def test_more_descriptors_than_agreed_are_closed_and_refused(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    sending(theirs, HEADER.pack(1, 1, 16, 0, 0), 0, 0, 0, 0, 0)
    with pytest.raises(ProtocolError, match="5 descriptors"):
        channel.receive(DEADLINE_S)


def test_as_many_descriptors_as_linux_passes_are_closed_and_refused(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    sending(theirs, HEADER.pack(1, 1, 16, 0, 0), *[0] * 253)
    with pytest.raises(ProtocolError, match="253 descriptors"):
        channel.receive(DEADLINE_S)


@pytest.mark.parametrize(
    "begun", [b"", HEADER.pack(1, 1, 20, 0, 0)[:7], HEADER.pack(1, 1, 20, 0, 0)]
)
def test_the_end_is_gone_and_nothing_stays_open(
    ends: tuple[Channel, socket.socket], begun: bytes
) -> None:
    channel, theirs = ends
    if begun:
        sending(theirs, begun, 0, 1)
    theirs.shutdown(socket.SHUT_RDWR)
    with pytest.raises(DeviceGone):
        channel.receive(DEADLINE_S)


def test_descriptors_of_half_a_message_are_closed_with_the_channel(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    sending(theirs, HEADER.pack(1, 1, 20, 0, 0), 0, 1)
    with pytest.raises(DeviceTimeout):
        channel.receive(0.01)


def test_shut_down_wakes_who_receives(ends: tuple[Channel, socket.socket]) -> None:
    channel, _ = ends
    raised: list[BaseException] = []

    def receive() -> None:
        try:
            channel.receive(DEADLINE_S)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    channel.shut_down()
    thread.join(DEADLINE_S)
    assert [type(error) for error in raised] == [DeviceGone]


def test_descriptors_are_taken_once() -> None:
    with Descriptors([os.dup(0), os.dup(0)]) as fds:
        duplicate, taken = fds.duplicate(0), fds.take(0)
        for index in (0, 2, -1):
            with pytest.raises(ProtocolError):
                fds.take(index)
        os.close(duplicate)
        os.close(taken)


class Alarm(Exception):
    """Raised by a signal handler."""


def test_no_signal_loses_what_has_come(ends: tuple[Channel, socket.socket]) -> None:
    """Handlers that raise run after any call, also after one that has received something."""
    channel, theirs = ends
    count, alarms, rolls = 3000, 0, random.Random(1)
    place = Channel.receive.__code__.co_filename

    def ring(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename == place:
            raise Alarm

    def write() -> None:
        with suppress(OSError):  # where the other end gave up
            for number in range(count):
                theirs.sendall(HEADER.pack(number, 9, 36, 1, 0) + number.to_bytes(20, "little"))

    def receive() -> Message:
        nonlocal alarms
        while True:
            try:
                return channel.receive(DEADLINE_S)
            except Alarm:
                alarms += 1

    before = signal.signal(signal.SIGALRM, ring)
    writer = threading.Thread(target=write, daemon=True)
    start = time.monotonic()
    writer.start()
    try:
        for number in range(count):
            message = receive()
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert message.header.message_id == number
            assert int.from_bytes(message.payload, "little") == number
            each_s = (time.monotonic() - start) / (number + 1)
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, 2 * each_s * rolls.random()))  # once
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        channel.shut_down()
        writer.join(DEADLINE_S)
    assert alarms
