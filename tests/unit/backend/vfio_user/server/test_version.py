"""The beginning of a connection."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path

import pytest

from pymmio.backend.vfio_user.channel import Channel
from pymmio.backend.vfio_user.messages import (
    HEADER_SIZE,
    Command,
    DeviceFeature,
    DeviceInfo,
    FeatureFlags,
    Flags,
    Header,
    RegionRequest,
    TwinSocket,
)
from pymmio.backend.vfio_user.server import serve
from pymmio.errors import DeviceGone
from tests.unit.backend.vfio_user.server.raw import RawClient, Refused, Rig, served


@pytest.mark.parametrize(("proposed", "answered"), [(0, 0), (1, 1), (9, 1)])
def test_no_later_version_than_proposed_is_answered(
    tmp_path: Path, proposed: int, answered: int
) -> None:
    with serve(Rig(), tmp_path / "s") as server:
        client = RawClient(server.path)
        version, _ = client.agree(minor=proposed)
        assert (version.major, version.minor) == (0, answered)
        client.close()


def test_another_major_version_is_refused_and_the_connection_ends(tmp_path: Path) -> None:
    with serve(Rig(), tmp_path / "s", report=lambda text: None) as server:
        client = RawClient(server.path)
        with pytest.raises(Refused) as caught:
            client.ask(Command.VERSION, b"\x01\0\0\0")
        assert caught.value.number == errno.EPROTONOSUPPORT
        with pytest.raises(DeviceGone):
            client.receive()
        client.close()


def test_capabilities_are_those_of_this_side(tmp_path: Path) -> None:
    with serve(Rig(), tmp_path / "s") as server:
        client = RawClient(server.path)
        version, reply = client.agree(write_multiple=True)
        said = version.capabilities
        assert said.max_data_xfer_size == 1 << 20
        assert said.write_multiple
        assert not said.twin_socket.supported
        assert len(reply.fds) == 0
        assert "migration" not in json.loads(reply.payload[4:-1])["capabilities"]
        client.close()


@pytest.mark.parametrize(("proposed", "answered"), [(1, 16), (16, 16), (40, 40), (9999, 253)])
def test_so_many_descriptors_fit_a_message_as_the_client_knows_of(
    tmp_path: Path, proposed: int, answered: int
) -> None:
    """QEMU 11.1 proposes 16 and ends the connection if it is told a larger number."""
    with serve(Rig(), tmp_path / "s") as server:
        client = RawClient(server.path)
        version, _ = client.agree(max_msg_fds=proposed)
        assert version.capabilities.max_msg_fds == answered
        client.close()


def test_no_capabilities_at_all_are_enough(tmp_path: Path) -> None:
    with serve(Rig(), tmp_path / "s") as server:
        client = RawClient(server.path)
        client.ask(Command.VERSION, b"\0\0\0\0")
        assert DeviceInfo.parse(client.ask(Command.DEVICE_GET_INFO, DeviceInfo().pack()).payload)
        client.close()


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        (Command.DEVICE_GET_INFO, DeviceInfo().pack()),
        (Command.VERSION, b"\0"),
        (Command.VERSION, b"\0\0\0\0{"),
        (Command.VERSION, b"\0\0\0\0" + b" " * (17 << 10)),
        (77, b""),
    ],
)
def test_whoever_begins_otherwise_is_dropped_and_the_next_is_served(
    tmp_path: Path, command: int, payload: bytes
) -> None:
    problems: list[str] = []
    with serve(Rig(), tmp_path / "s", report=problems.append) as server:
        client = RawClient(server.path)
        client.post(command, payload)
        with pytest.raises(DeviceGone):
            client.receive()
        client.close()
        following = RawClient(server.path)
        following.agree()
        following.close()
    assert len(problems) == 1
    assert "dropped" in problems[0]


@pytest.mark.parametrize(
    "header",
    [
        b"\x01\x00\x09\x00\x0f\x00\x00\x00" + bytes(8),  # shorter than itself
        b"\x01\x00\x09\x00\xff\xff\xff\x7f" + bytes(8),  # larger than was agreed
        Header(1, 9, HEADER_SIZE, 0x2).pack(),  # neither command nor reply
        Header(1, 11, HEADER_SIZE, Flags.REPLY).pack(),  # a reply to nothing
    ],
)
def test_a_header_that_cannot_be_ends_the_connection(tmp_path: Path, header: bytes) -> None:
    with served(tmp_path) as (_, client, server, problems):
        client.channel.socket.sendall(header)
        with pytest.raises(DeviceGone):
            client.receive()
        following = RawClient(server.path)
        following.agree()
        following.close()
        assert "dropped" in problems[0]


def test_a_second_version_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, _, _), pytest.raises(Refused) as caught:
        client.agree()
    assert caught.value.number == errno.EINVAL


def test_the_twin_socket_is_used_if_it_was_proposed(tmp_path: Path) -> None:
    model = Rig()
    with serve(model, tmp_path / "s") as server:
        client = RawClient(server.path)
        version, reply = client.agree(twin_socket=TwinSocket(True))
        assert version.capabilities.twin_socket == TwinSocket(True, 0)
        twin = Channel(socket.socket(fileno=reply.fds.take(0)), max_payload=4096)
        client.switch_on()
        client.map(0x1000, 0x1000)
        model.on_read = lambda offset: len(model.host.dma_read(0x1000, 16))
        number = client.post(Command.REGION_READ, RegionRequest(0, 0, 4).pack())
        asked = twin.receive(10)
        assert asked.header.command == Command.DMA_READ
        answer = asked.payload + bytes(16)
        twin.send(asked.header.reply(len(answer)), answer, timeout_s=10)
        got = client.receive()
        assert got.header.message_id == number
        assert got.payload[16:] == b"\x10\0\0\0"
        twin.close()
        client.close()


@pytest.mark.parametrize(
    ("command", "payload", "number"),
    [
        (Command.DEVICE_FEATURE, DeviceFeature(1, FeatureFlags.GET).pack(), errno.ENOTTY),
        (
            Command.DEVICE_FEATURE,
            DeviceFeature(2, FeatureFlags.SET | FeatureFlags.PROBE).pack(),
            errno.ENOTTY,
        ),
        (Command.DEVICE_FEATURE, b"", errno.EINVAL),
        (Command.MIG_DATA_READ, bytes(8), errno.EOPNOTSUPP),
        (Command.MIG_DATA_WRITE, bytes(8), errno.EOPNOTSUPP),
        (Command.DMA_READ, bytes(16), errno.EOPNOTSUPP),
        (14, b"", errno.EOPNOTSUPP),
        (999, b"anything", errno.EOPNOTSUPP),
    ],
)
def test_what_there_is_not_is_refused_and_the_connection_stays(
    tmp_path: Path, command: int, payload: bytes, number: int
) -> None:
    with served(tmp_path) as (_, client, _, _):
        with pytest.raises(Refused) as caught:
            client.ask(command, payload)
        assert caught.value.number == number
        assert client.read(0, 0, 1) == b"\x11"


def test_no_reply_means_none_also_for_what_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        client.post(999, flags=Flags.NO_REPLY)
        client.post(Command.DEVICE_RESET, flags=Flags.NO_REPLY)
        assert len(client.read(7, 0, 4)) == 4
        assert model.resets == 2
