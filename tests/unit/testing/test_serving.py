"""A model in another process, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pymmio
from pymmio.errors import DeviceGone
from pymmio.testing import served

DEADLINE_S = 60.0


def servers_of(socket: str) -> list[int]:
    """Return the processes that serve at this socket."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"--socket={socket}".encode() in words:
                found.append(int(entry.name))
    return found


def wait_until_gone(socket: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while servers_of(socket):
        assert time.monotonic() < deadline, "the server outlives its owner"
        time.sleep(0.05)


def test_it_is_there_during_the_block_in_another_process() -> None:
    with served("edu", busy_reads=1) as uri:
        socket = uri.removeprefix("vfio-user:")
        (process,) = servers_of(socket)
        assert process != os.getpid()
        with pymmio.open_device(uri) as device:
            assert device.region(0).read32(0) == 0x010000ED
    assert servers_of(socket) == []
    assert not Path(socket).parent.exists()


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(DeviceGone, match="no option 'heat'"), served("edu", heat=3):
        pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_it_never_outlives_its_owner(end: signal.Signals) -> None:
    code = (
        "import sys\n"
        "from pymmio.testing import served\n"
        "with served('edu') as uri:\n"
        "    print(uri, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        socket = owner.stdout.readline().strip().removeprefix("vfio-user:")
        assert len(servers_of(socket)) == 1
        owner.send_signal(end)
        owner.wait(DEADLINE_S)
    wait_until_gone(socket)
    assert not Path(socket).exists()


def test_a_server_that_hangs_is_killed() -> None:
    with served("edu") as uri:
        socket = uri.removeprefix("vfio-user:")
        (process,) = servers_of(socket)
        os.kill(process, signal.SIGKILL)
    assert servers_of(socket) == []
