"""QEMU's ivshmem devices as peers of each other, and of the model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymmio.models.ivshmem import IvshmemServer
from pymmio_drivers.ivshmem import Channel, Ivshmem

SIZE = 1 << 20


def test_two_qemus_share_plain_memory(binary: str, tmp_path: Path) -> None:
    uri = f"qemu:ivshmem-plain?memory={tmp_path / 'shared'}&size=1M"
    with Ivshmem.open(uri) as first, Ivshmem.open(uri) as second:
        assert not first.has_doorbell
        first.memory.write_from(0x8000, b"between machines")
        seen = bytearray(16)
        second.memory.read_into(0x8000, seen)
        assert seen == b"between machines"
        with Channel(first, place=0) as one, Channel(second, place=1) as two:
            one.send(1, b"hello")
            assert two.receive(10.0) == (0, b"hello")


@pytest.mark.parametrize("other", ["qemu:ivshmem-doorbell,vectors=2", "sim:ivshmem"])
def test_peers_ring_each_other(binary: str, tmp_path: Path, other: str) -> None:
    with IvshmemServer(tmp_path / "s", size=SIZE, vectors=2) as server:
        path = os.fspath(server.path)
        more = f"&vectors=2{''}" if other.startswith("sim") else ""
        with (
            Ivshmem.open(f"qemu:ivshmem-doorbell,vectors=2?server={path}") as first,
            Ivshmem.open(f"{other}?server={path}{more}") as second,
        ):
            assert {first.position, second.position} == {0, 1}
            for vector in (0, 1):
                first.ring(second.position, vector)
                assert second.vectors[vector].wait(10.0) == 1
                second.ring(first.position, vector)
                assert first.vectors[vector].wait(10.0) == 1
            with Channel(first) as one, Channel(second) as two:
                for number in range(20):
                    one.send(two.place, b"ping %d" % number)
                    assert two.receive(10.0) == (one.place, b"ping %d" % number)
                    two.send(one.place, b"pong %d" % number)
                    assert one.receive(10.0) == (two.place, b"pong %d" % number)
