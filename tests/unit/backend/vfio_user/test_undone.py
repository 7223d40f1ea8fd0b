"""Whichever step of opening fails, nothing is left: no descriptor, mapping, thread, connection."""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress

import pytest

import pymmio
from pymmio.backend.vfio_user import device, handshake, session
from pymmio.errors import DeviceGone, PymmioError
from tests.unit.backend.vfio_user.fake_server import (
    Raw,
    Reply,
    Request,
    fake_server,
)

WRONG: dict[str, Reply | Raw | None] = {
    "error": Reply(error=5),
    "closes": Raw(b"", close=True),
    "garbage": Raw(b"\xff" * 40, [0, 1]),
    "nonsense": Reply(b"\x07" * 64, [0, 1]),
    "silence": None,
}


def state() -> tuple[list[str], int]:
    """Return what is open here, and how many threads run."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{name}").partition(":[")[0])
    return sorted(links), threading.active_count()


@pytest.mark.parametrize("twin", [False, True], ids=["one socket", "twin socket"])
@pytest.mark.parametrize("how", list(WRONG))
def test_a_failure_at_any_message_leaves_nothing(twin: bool, how: str) -> None:
    """The first message that goes wrong is one later each time."""
    count = 0
    with fake_server(twin=twin) as (server, uri):
        default = server._answer
        before = state()
        while True:
            seen = 0

            def answer(request: Request, wrong: int = count) -> Reply | Raw | None:
                nonlocal seen
                seen += 1
                if seen != wrong + 1:
                    return default(request)
                return WRONG[how]

            server._answer = answer  # type: ignore[method-assign]
            try:
                with pymmio.open_device(uri + "?timeout=0.05"):
                    server._answer = default  # type: ignore[method-assign]
                    is_open = True
            except PymmioError:
                is_open = False
            server._answer = default  # type: ignore[method-assign]
            server.hang_up()
            if is_open and seen <= count:
                break
            count += 1
        assert settled(before) == before
    assert count > 10


def settled(wanted: tuple[list[str], int]) -> tuple[list[str], int]:
    """Return the state when it is what is wanted, or after some time."""
    event = threading.Event()
    for _ in range(400):
        if state() == wanted:
            break
        event.wait(0.01)
    return state()


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (session, "_ask_device"),
        (session, "read_region"),
        (session, "Connection"),
        (handshake, "_exchange"),
        (handshake, "_second_socket"),
        (handshake, "Channel"),
        (select, "epoll"),
        (device, "VfioUserRegion"),
        (device, "VfioUserIrq"),
        (device.VfioUserDevice, "_connect_parts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failure_on_this_side_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    def fails(*args: object, **options: object) -> object:
        raise DeviceGone("injected")

    with fake_server(twin=True) as (_, uri):
        with pymmio.open_device(uri):
            pass
        before = settled_state()
        with monkeypatch.context() as patch:
            patch.setattr(where, name, fails)
            with pytest.raises(DeviceGone, match="injected"):
                pymmio.open_device(uri)
        assert settled(before) == before


def settled_state() -> tuple[list[str], int]:
    """Return a state that has not changed for a while: the server let go of its client."""
    event = threading.Event()
    last = state()
    same = 0
    while same < 5:
        event.wait(0.01)
        now = state()
        same = same + 1 if now == last else 0
        last = now
    return last
