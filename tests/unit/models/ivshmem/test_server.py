"""The ivshmem server and its clients, down to the bytes."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.errors import BadArgument, DeviceBusy, DeviceNotFound, ProtocolError, UriError
from pymmio.models.ivshmem import IvshmemModel, IvshmemServer
from pymmio.models.ivshmem.protocol import receive, send

SIZE = 1 << 16


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IvshmemServer]:
    with IvshmemServer(tmp_path / "s", size=SIZE, vectors=2) as running:
        yield running


def connect(server: IvshmemServer) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5.0)
    client.connect(os.fspath(server.path))
    return client


def greeted(client: socket.socket, others: int = 0) -> tuple[list[int], list[int]]:
    """Return the numbers and descriptors of a greeting: 3, then 2 a peer, the own ones last."""
    got = [receive(client) for _ in range(3 + 2 * others + 2)]
    assert None not in got
    return [one[0] for one in got if one], [one[1] for one in got if one and one[1] is not None]


def test_the_greeting_is_that_of_the_specification(server: IvshmemServer) -> None:
    with connect(server) as first, connect(server) as second:
        numbers, fds = greeted(first)
        assert numbers == [0, 0, -1, 0, 0]
        assert os.fstat(fds[0]).st_size == SIZE
        more, more_fds = greeted(second, others=1)
        assert more == [0, 1, -1, 0, 0, 1, 1]
        told = [receive(first) for _ in range(2)]
        assert [one[0] for one in told if one] == [1, 1]
        told_fds = [one[1] for one in told if one and one[1] is not None]
        os.eventfd_write(told_fds[1], 1)  # what the first rings is what the second waits for
        assert os.eventfd_read(more_fds[-1]) == 1
        second.close()
        assert receive(first) == (1, None)
        for fd in (*fds, *more_fds, *told_fds):
            os.close(fd)


def test_on_the_wire_numbers_have_8_bytes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(ours, -1)
        assert theirs.recv(100) == struct.pack("<q", -1)


def test_ids_are_not_given_again_while_they_are_used(server: IvshmemServer) -> None:
    models = [IvshmemModel(server=os.fspath(server.path), vectors=2) for _ in range(3)]
    assert [one.position for one in models] == [0, 1, 2]
    models[1].close()
    another = IvshmemModel(server=os.fspath(server.path), vectors=2)
    assert another.position == 3
    for one in (*models, another):
        one.close()


def test_a_client_that_sends_or_leaves_is_forgotten(server: IvshmemServer) -> None:
    with connect(server) as rude, connect(server) as polite:
        for fd in (*greeted(rude)[1], *greeted(polite, others=1)[1]):
            os.close(fd)
        rude.sendall(b"garbage")
        assert receive(polite) == (0, None)
        assert server.peers == [1]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with IvshmemServer(tmp_path / "s", size=SIZE, vectors=3) as server:
        model = IvshmemModel(server=os.fspath(server.path), vectors=3)
        model.close()
        model.close()
    server.close()
    assert not (tmp_path / "s").exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_taken_path_and_odd_sizes_are_refused(server: IvshmemServer, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DeviceBusy):
        IvshmemServer(server.path, size=SIZE)
    for size, vectors in ((5000, 1), (2048, 1), (SIZE, 0), (SIZE, 65)):
        with pytest.raises(BadArgument):
            IvshmemServer(tmp_path / "other", size=size, vectors=vectors)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "said",
    [
        [(5, None)],
        [(0, None), (3, None), (7, None)],
        [(0, None), (3, None), (-1, None)],
        [(0, None)],
        [],
    ],
    ids=["version", "no memory", "memory without descriptor", "hangs up", "says nothing"],
)
def test_a_wrong_server_is_a_protocol_error(tmp_path: Path, said) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "wrong"))
        listener.listen()
        import threading

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for number, fd in said:
                    send(connection, number, fd)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ProtocolError, match="broke the protocol"):
            IvshmemModel(server=os.fspath(tmp_path / "wrong"))
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_server_and_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(DeviceNotFound, match="no server"):
        IvshmemModel(server=os.fspath(tmp_path / "nobody"))
    with pytest.raises(UriError, match="together"):
        IvshmemModel(server="a", file="b")
    with pytest.raises(UriError, match="power of two"):
        IvshmemModel(size=5000)
