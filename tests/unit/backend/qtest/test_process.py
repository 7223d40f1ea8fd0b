from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.backend.qtest import keeper
from pymmio.backend.qtest.process import QemuProcess
from pymmio.errors import Unsupported
from tests.children import in_forked_child

DEADLINE_S = 30.0
ROOT = Path(__file__).resolve().parents[4]
FOREVER = ["sleep", "1000"]


def is_there(pid: int) -> bool:
    """Whether a process runs; one that is dead and not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while is_there(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


@pytest.fixture
def forever() -> Iterator[QemuProcess]:
    process = QemuProcess(FOREVER, fds=())
    yield process
    process.stop()


def test_it_runs_and_stops(forever: QemuProcess) -> None:
    assert is_there(forever.pid)
    assert not forever.has_ended()
    assert forever.status() == "it still runs"
    forever.stop()
    forever.stop()
    assert not is_there(forever.pid)
    assert forever.status() == "it was ended by SIGTERM"


def test_one_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pymmio.backend.qtest.process.EXIT_TIMEOUT_S", 0.05)
    reading, writing = os.pipe()
    script = f"trap '' TERM; echo ready >/proc/self/fd/{writing}; exec sleep 1000"
    process = QemuProcess(["sh", "-c", script], fds=(writing,))
    os.close(writing)
    assert os.read(reading, 5) == b"ready"
    os.close(reading)
    process.stop()
    assert process.status() == "it was ended by SIGKILL"


def test_last_words_are_kept_and_made_harmless() -> None:
    lines = "\n".join(f"line {number}" for number in range(100))
    process = QemuProcess(["printf", "%s\\n\\033[31mred\\n", lines], fds=())
    assert process.wait(DEADLINE_S)
    words = process.last_words().splitlines()
    assert words[-1] == "\ufffd[31mred"
    assert words[-2] == "line 99"
    assert len(words) <= 12
    assert process.status() == "it ended with status 0"
    process.stop()
    assert process.last_words() == ""


def test_a_flood_of_words_fills_no_memory() -> None:
    process = QemuProcess(["sh", "-c", "yes chatter | head -c 3000000; exit 3"], fds=())
    assert process.wait(DEADLINE_S)
    assert process.status() == "it ended with status 3"
    assert "chatter" in process.last_words()
    process.stop()


def test_its_end_can_be_waited_for(forever: QemuProcess) -> None:
    pidfd = forever.open_pidfd()
    os.kill(forever.pid, signal.SIGKILL)
    assert forever.wait(DEADLINE_S)
    assert forever.status() == "it was ended by SIGKILL"
    os.close(pidfd)


def test_it_outlives_the_thread_that_opened_it() -> None:
    made: list[QemuProcess] = []
    thread = threading.Thread(target=lambda: made.append(QemuProcess(FOREVER, fds=())))
    thread.start()
    thread.join(DEADLINE_S)
    (process,) = made
    assert not process.wait(0.2)
    assert is_there(process.pid)
    process.stop()


OWNER = """
import sys, time
from pymmio.backend.qtest.process import QemuProcess
process = QemuProcess(["sleep", "1000"], fds=())
print(process.pid, flush=True)
time.sleep(1000)
"""


def test_it_ends_with_an_owner_that_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
    assert is_there(pid)
    owner.kill()
    owner.wait(DEADLINE_S)
    wait_until_gone(pid)


def test_nothing_is_started_for_a_parent_that_is_gone() -> None:
    mark = "pymmio-nobody-runs-this"
    done = subprocess.run(
        ["sh", "-c", keeper._IF_PARENT, "1", "echo", mark], capture_output=True, text=True
    )
    assert mark not in done.stdout


def test_a_forked_child_has_a_thread_of_its_own_and_ends_nothing(forever: QemuProcess) -> None:
    def child() -> None:
        forever.stop()
        own = QemuProcess(FOREVER, fds=())
        own.stop()

    in_forked_child(child)
    assert is_there(forever.pid)


def test_a_system_that_cannot_start_it_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unsupported, match="util-linux"):
        QemuProcess(FOREVER, fds=())
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_program_that_is_missing_says_so() -> None:
    process = QemuProcess(["/nowhere/qemu"], fds=())
    assert process.wait(DEADLINE_S)
    assert "/nowhere/qemu" in process.last_words()
    process.stop()
