"""Doorbells in shared memory: what a client stores there reaches the model."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pymmio.backend.vfio_user.messages import Command
from pymmio.backend.vfio_user.server import serve
from tests.unit.backend.vfio_user.server.raw import MASTER, RawClient, Rig, served

pytestmark = pytest.mark.skipif(
    mmap.PAGESIZE > 4096, reason="the rig's page of doorbells has 4096 bytes"
)
FIRST = 0x1000


@contextmanager
def doorbells(client: RawClient) -> Iterator[mmap.mmap]:
    """Map the doorbells of BAR0 as the server offers them."""
    info, (fd,) = client.region(0)
    assert info.areas is not None
    area = info.areas[0]
    with mmap.mmap(fd, area.size, offset=info.offset + area.offset) as mapped:
        os.close(fd)
        yield mapped


def store(mapped: mmap.mmap, offset: int, value: int) -> None:
    memoryview(mapped).cast("B")[offset : offset + 4] = value.to_bytes(4, "little")


def test_what_is_stored_reaches_the_model_without_a_message(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _), doorbells(client) as mapped:
        rung = threading.Event()
        model.on_write = lambda offset, value: rung.set()
        store(mapped, 8, 5)
        assert rung.wait(10)
        assert model.accesses == [("write", 0, FIRST + 8, 4, 5)]


def test_the_same_value_again_is_a_write_again(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _), doorbells(client) as mapped:
        for times in range(1, 4):
            store(mapped, 0, 5)
            client.read(7, 0, 1)
            assert model.accesses == [("write", 0, FIRST, 4, 5)] * times
        store(mapped, 0, 0)
        client.read(7, 0, 1)
        assert model.accesses[-1] == ("write", 0, FIRST, 4, 0)


def test_messages_see_everything_that_was_stored_before(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _), doorbells(client) as mapped:
        store(mapped, 16, 2)
        store(mapped, 4, 1)
        client.write(0, FIRST + 4, b"\x07\0\0\0")
        assert [entry[2:] for entry in model.accesses] == [
            (FIRST + 4, 4, 1),
            (FIRST + 16, 4, 2),
            (FIRST + 4, 4, 7),
        ]
        client.read(0, FIRST + 4, 4)
        assert len(model.accesses) == 4


def test_all_doorbells_at_once(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _), doorbells(client) as mapped:
        mapped[:] = b"".join(n.to_bytes(4, "little") for n in range(1024))
        client.read(7, 0, 1)
        client.read(7, 0, 1)
        assert {entry[2:] for entry in model.accesses} == {
            (FIRST + 4 * n, 4, n) for n in range(1024)
        }


def test_stores_while_the_function_does_not_decode_are_lost(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, problems), doorbells(client) as mapped:
        client.switch_on(MASTER)
        store(mapped, 0, 5)
        client.switch_on()
        store(mapped, 4, 6)
        client.read(7, 0, 1)
        assert [entry[2:] for entry in model.accesses] == [(FIRST + 4, 4, 6)]
        assert problems == []


def test_a_reset_forgets_what_was_stored(tmp_path: Path) -> None:
    def in_vain(offset: int, value: int) -> None:
        raise AssertionError("the model was to be reset")

    with served(tmp_path) as (model, client, _, problems), doorbells(client) as mapped:
        client.ask(Command.DEVICE_RESET)
        model.on_write = in_vain
        store(mapped, 0, 5)  # lost: the reset has switched decoding off
        client.read(7, 0, 1)
        assert problems == []


def test_a_model_that_raises_is_reported_and_the_next_doorbell_works(tmp_path: Path) -> None:
    def fail(offset: int, value: int) -> None:
        if value == 1:
            raise ValueError("a bug of the model")

    with served(tmp_path) as (model, client, _, problems), doorbells(client) as mapped:
        model.on_write = fail
        store(mapped, 0, 1)
        store(mapped, 4, 2)
        client.read(7, 0, 1)
        assert [entry[4] for entry in model.accesses] == [1, 2]
        assert "a doorbell at 0x1000 of BAR0" in problems[0]
        assert "a bug of the model" in problems[0]


def test_a_client_that_has_gone_rings_no_bell_of_the_next(tmp_path: Path) -> None:
    model = Rig()
    with serve(model, tmp_path / "s") as server:
        first, second = RawClient(server.path), None
        first.agree()
        with doorbells(first) as old:
            first.close()
            second = RawClient(server.path)
            second.agree()
            second.switch_on()
            with doorbells(second) as new:
                store(old, 0, 1)
                store(new, 4, 2)
                second.read(7, 0, 1)
        assert [entry[2:] for entry in model.accesses] == [(FIRST + 4, 4, 2)]
        second.close()
