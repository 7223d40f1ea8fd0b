"""Peers that share memory, ring each other, come late and leave."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.errors import BadArgument, DeviceBusy, DeviceTimeout, ProtocolError, Unsupported
from pymmio.models.ivshmem import IvshmemModel, IvshmemServer
from pymmio.testing import open_model
from pymmio_drivers.ivshmem import Channel, Ivshmem

SIZE = 1 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IvshmemServer]:
    with IvshmemServer(tmp_path / "s", size=SIZE, vectors=2) as running:
        yield running


def peer(server: IvshmemServer, vectors: int = 2) -> Ivshmem:
    return Ivshmem.open(open_model(IvshmemModel(server=os.fspath(server.path), vectors=vectors)))


@pytest.fixture
def pair(server: IvshmemServer) -> Iterator[tuple[Ivshmem, Ivshmem]]:
    with peer(server) as first, peer(server) as second:
        yield first, second


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[tuple[Ivshmem, Ivshmem]]:
    uri = f"sim:ivshmem?file={tmp_path / 'memory'}&size=1M"
    with Ivshmem.open(uri) as first, Ivshmem.open(uri) as second:
        yield first, second


def test_plain_devices_share_memory_and_nothing_else(plain) -> None:
    first, second = plain
    first.memory.write_from(1000, b"shared")
    seen = bytearray(6)
    second.memory.read_into(1000, seen)
    assert seen == b"shared"
    assert not first.has_doorbell
    assert first.position is None
    assert first.vectors == ()
    with pytest.raises(Unsupported, match="ivshmem-doorbell"):
        first.ring(0)


def test_peers_ring_each_other(pair) -> None:
    first, second = pair
    assert (first.position, second.position) == (0, 1)
    for vector in (0, 1):
        first.ring(1, vector)
        assert second.vectors[vector].wait(5.0) == 1
        second.ring(0, vector)
        assert first.vectors[vector].wait(5.0) == 1
        assert second.vectors[1 - vector].try_take() == 0


def test_a_doorbell_of_nobody_is_ignored(pair) -> None:
    first, second = pair
    first.ring(77, 0)
    first.ring(1, 60000)
    first.ring(1, 0)
    assert second.vectors[0].wait(5.0) == 1
    with pytest.raises(BadArgument):
        first.ring(1 << 16, 0)


def test_who_comes_late_is_rung_and_rings(pair, server: IvshmemServer) -> None:
    first, _ = pair
    with peer(server) as third:
        third.ring(0)
        assert first.vectors[0].wait(5.0) == 1
        first.ring(third.position)
        assert third.vectors[0].wait(5.0) == 1


def test_who_has_left_is_not_rung(pair, server: IvshmemServer) -> None:
    first, second = pair
    second.close()
    model = first.device.handle.model
    while model.peers != [0]:
        os.sched_yield()
    first.ring(1)  # nothing happens
    assert server.peers == [0]


def test_without_a_server_the_others_go_on(pair, server: IvshmemServer) -> None:
    first, second = pair
    server.close()
    first.ring(1)
    assert second.vectors[0].wait(5.0) == 1


async def test_doorbells_are_awaitable(pair) -> None:
    first, second = pair

    async def answer() -> None:
        await second.vectors[0]
        second.ring(0, 1)

    waiting = asyncio.create_task(answer())
    await asyncio.sleep(0)
    first.ring(1, 0)
    assert await asyncio.wait_for(first.vectors[1].wait_async(), 5.0) == 1
    await waiting


def test_another_process_is_a_peer(server: IvshmemServer) -> None:
    code = """
import sys
from pymmio_drivers.ivshmem import Channel, Ivshmem
with Ivshmem.open(f"sim:ivshmem?server={sys.argv[1]}&vectors=2") as device, Channel(device) as me:
    print("ready", flush=True)
    while True:
        place, message = me.receive(30.0)
        me.send(place, message[::-1])
"""
    with peer(server) as device, Channel(device) as me:
        child = subprocess.Popen(
            [sys.executable, "-c", code, os.fspath(server.path)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            assert me.peers() == [1]
            for number in range(200):
                me.send(1, b"message %d" % number)
                assert me.receive(10.0) == (1, (b"message %d" % number)[::-1])
            child.send_signal(signal.SIGKILL)
            child.wait(10.0)
            assert me.peers() == [1], "who was killed did not leave"
            me.leave(1)
            assert me.peers() == []
        finally:
            child.kill()
            child.wait(10.0)
            child.stdout.close()


@pytest.mark.parametrize("kind", ["pair", "plain"])
def test_messages_go_both_ways(kind: str, request: pytest.FixtureRequest) -> None:
    first, second = request.getfixturevalue(kind)
    with Channel(first, place=0) as one, Channel(second, place=1) as two:
        assert (one.peers(), two.peers()) == ([1], [0])
        for size in (0, 1, 3, 4, 5, 100, 4000, 4088):
            message = os.urandom(size)
            one.send(1, message)
            assert two.receive(5.0) == (0, message)
            two.send(0, message[::-1])
            assert one.receive(5.0) == (1, message[::-1])
        assert one.try_receive() is None
    assert first.region.read32(64) & 1 == 0


@pytest.mark.parametrize("is_rung", [True, False], ids=["rung", "the doorbell got lost"])
async def test_messages_are_awaitable(pair, is_rung: bool, monkeypatch) -> None:
    first, second = pair
    with Channel(first, place=0) as one, Channel(second, place=1) as two:
        waiting = asyncio.create_task(two.receive_async())
        await asyncio.sleep(0)
        if not is_rung:
            monkeypatch.setattr(first, "ring", lambda peer, vector=0: None)
        one.send(1, b"hello")
        assert await asyncio.wait_for(waiting, 10.0) == (0, b"hello")


def test_a_full_ring_is_a_timeout_and_keeps_what_is_there(plain) -> None:
    first, second = plain
    with Channel(first, place=0) as one, Channel(second, place=1) as two:
        sent = 0
        with pytest.raises(DeviceTimeout, match="no room"):
            while True:
                one.send(1, b"x" * 100, timeout_s=0.01)
                sent += 1
        assert sent == 4096 // 104
        for _ in range(sent):
            assert two.receive(1.0) == (0, b"x" * 100)
        one.send(1, b"again")
        assert two.receive(1.0) == (0, b"again")


def test_no_message_is_a_timeout(plain) -> None:
    with Channel(plain[0], place=0) as one, pytest.raises(DeviceTimeout, match="no message"):
        one.receive(0.01)


def test_places_are_taken_once(plain) -> None:
    first, second = plain
    with Channel(first, place=3):
        with pytest.raises(DeviceBusy, match="place 3 is taken"):
            Channel(second, place=3)
    with Channel(second, place=3):
        pass


def test_the_ring_goes_on_after_2_to_the_32(plain) -> None:
    first, second = plain
    with Channel(first, place=0) as one, Channel(second, place=1) as two:
        ring = one._ring(0, 1)
        for line in (ring, ring + 64):
            first.region.write32(line, 0xFFFF_FFF0)
        for number in range(10):
            one.send(1, b"%d" % number * 7)
            assert two.receive(1.0) == (0, b"%d" % number * 7)


@pytest.mark.parametrize(
    ("tail", "head", "length"),
    [(0x5000, 0, 0), (8, 0, 5), (8, 0, 0xFFFF_FFFF), (6, 0, 1), (4, 2, 0), (0, 4, 0)],
)
def test_what_a_peer_wrote_is_checked(plain, tail: int, head: int, length: int) -> None:
    first, second = plain
    with Channel(first, place=0) as one, Channel(second, place=1):
        ring = one._ring(1, 0)
        second.region.write32(ring + 128, length)
        second.region.write32(ring + 64, head)
        second.region.write32(ring, tail)
        with pytest.raises(ProtocolError, match="place 1 is broken"):
            one.try_receive()


def test_peers_that_use_other_numbers_are_told_which(plain) -> None:
    first, second = plain
    with (
        Channel(first, place=0, places=4),
        pytest.raises(ProtocolError, match="but one of version 1, 4 places, rings of 4096 bytes"),
    ):
        Channel(second, place=1)


def test_memory_of_something_else_is_not_touched(plain) -> None:
    first, _ = plain
    first.region.write32(0, 0x1234)
    with pytest.raises(ProtocolError, match=r"holds no channel.*but something else"):
        Channel(first, place=0)
    assert first.region.read32(4) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"place": 8}, "place 8 is none of 0 to 7"),
        ({"place": None}, "no position to take as place.*--place"),
        ({"place": 0, "ring_size": 100}, "power of two"),
        ({"places": 500}, "500 places"),
    ],
)
def test_impossible_numbers_are_refused(plain, options, said) -> None:
    with pytest.raises(BadArgument, match=said):
        Channel(plain[0], **{"place": 0, **options})


def test_nothing_is_left_behind(server: IvshmemServer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    device = peer(server)
    device.close()
    device.close()
    while server.peers:
        os.sched_yield()
    assert len(os.listdir("/proc/self/fd")) == before
