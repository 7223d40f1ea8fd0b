"""Clients one after the other; the end of a server."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from pymmio.backend.vfio_user.messages import Command, RegionData
from pymmio.backend.vfio_user.server import serve
from pymmio.errors import BadArgument, DeviceBusy, DeviceGone, DeviceNotFound
from tests.unit.backend.vfio_user.server.raw import RawClient, Refused, Rig, memory, served


def resources() -> tuple[int, int]:
    mapped = Path("/proc/self/maps").read_text()
    return len(os.listdir("/proc/self/fd")), mapped.count("memfd:")


def test_it_listens_when_it_is_there_and_leaves_nothing(tmp_path: Path) -> None:
    before, model = resources(), Rig()
    with serve(model, tmp_path / "s") as server:
        assert server.uri == f"vfio-user:{tmp_path}/s"
        client = RawClient(tmp_path / "s")
        client.agree()
        assert not model.is_closed
    client.close()
    assert model.is_closed
    assert not (tmp_path / "s").exists()
    assert resources() == before
    server.close()


def test_a_client_notices_the_end_of_the_server(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, server, problems):
        server.close()
        with pytest.raises(DeviceGone):
            client.read(0, 0, 4)
        assert problems == []


def test_each_client_finds_the_device_as_after_power_on(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.write(7, 0x3C, b"\x0b")
        client.close()
        following = RawClient(server.path)
        following.agree()
        assert model.resets == 2
        assert following.read(7, 0x3C, 1) == b"\0"
        assert following.read(7, 4, 2) == b"\0\0"
        following.close()


def test_a_second_client_is_refused_while_the_first_is_there(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, server, _):
        second = RawClient(server.path)
        with pytest.raises(Refused) as caught:
            second.agree()
        assert caught.value.number == errno.EBUSY
        with pytest.raises(DeviceGone):
            second.receive()
        second.close()
        assert client.read(0, 0, 1) == b"\x11"


def test_a_second_client_that_waits_a_little_is_served(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, server, _):
        second = RawClient(server.path)
        threading.Timer(0.1, client.close).start()
        second.agree()
        assert len(second.read(7, 0, 4)) == 4
        second.close()


def test_clients_that_come_and_go_at_once_do_no_harm(tmp_path: Path) -> None:
    before = resources()
    with serve(Rig(), tmp_path / "s") as server:
        for _ in range(20):
            RawClient(server.path).close()
        client = RawClient(server.path)
        client.agree()
        client.close()
    assert resources() == before


def test_a_message_that_is_cut_off_by_its_end_leaves_nothing(tmp_path: Path) -> None:
    before = resources()
    with served(tmp_path) as (_, client, server, _), memory(4096) as fd:
        client.map(0, 4096, fd)
        message = b"\x01\0\x02\0\x30\0\0\0" + bytes(8) + b"half"
        socket.send_fds(client.channel.socket, [message], [fd, fd])
        client.close()
        following = RawClient(server.path)
        following.agree()
        following.close()
    assert resources() == before


def test_a_write_that_takes_long_is_answered_before_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymmio.backend.vfio_user.server.answer.PATIENCE_S", 0.0)
    monkeypatch.setattr("pymmio.backend.vfio_user.server.server._LOOK_S", 0.02)
    with served(tmp_path) as (model, client, _, _):
        go_on = threading.Event()
        model.on_write = lambda offset, value: go_on.wait(30)
        client.ask(Command.REGION_WRITE, RegionData(0, 0, b"\x01").pack())
        go_on.set()
        assert client.read(7, 0, 2) == b"\xf4\x1a"


def test_several_devices_in_a_process(tmp_path: Path) -> None:
    with serve(Rig(), tmp_path / "a") as one, serve(Rig(), tmp_path / "b") as other:
        clients = [RawClient(server.path) for server in (one, other)]
        for client in clients:
            client.agree()
            client.switch_on()
        clients[0].write(0, 0, b"\x01")
        clients[1].write(0, 0, b"\x02")
        for client in clients:
            client.close()
        assert [server.model.accesses[0][4] for server in (one, other)] == [1, 2]


# --- the place of the socket -----------------------------------------------------------------


def test_a_path_in_use_is_refused_and_the_model_closed(tmp_path: Path) -> None:
    model = Rig()
    with serve(Rig(), tmp_path / "s") as server:
        with pytest.raises(DeviceBusy, match="live server"):
            serve(model, tmp_path / "s")
        assert model.is_closed
        client = RawClient(server.path)
        client.agree()
        client.close()


def test_what_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with serve(Rig(), tmp_path / "s") as server:
        client = RawClient(server.path)
        client.agree()
        client.close()
    assert not (tmp_path / "s").exists()


def test_other_files_and_places_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    before = resources()
    with pytest.raises(BadArgument, match="is no socket"):
        serve(Rig(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(DeviceNotFound, match="Make the directory"):
        serve(Rig(), tmp_path / "nowhere" / "s")
    with pytest.raises(BadArgument, match="at most 107 bytes"):
        serve(Rig(), tmp_path / ("x" * 120))
    assert resources() == before


def test_the_socket_of_somebody_else_at_the_same_path_stays(tmp_path: Path) -> None:
    with serve(Rig(), tmp_path / "s"):
        (tmp_path / "s").unlink()
        (tmp_path / "s").write_text("new")
    assert (tmp_path / "s").read_text() == "new"


def test_a_model_that_cannot_be_attached_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Rig):
        def attach(self, host: object) -> None:
            raise ValueError("broken")

    before, model = resources(), Broken()
    with pytest.raises(ValueError, match="broken"):
        serve(model, tmp_path / "s")
    assert model.is_closed
    assert resources() == before
    assert not (tmp_path / "s").exists()
