"""The QEMU process: it never outlives its owner, and its end is noticed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import pymmio
from pymmio.errors import DeviceGone, Unsupported
from tests.children import in_forked_child
from tests.qemu.conftest import Open

pytestmark = pytest.mark.usefixtures("binary")

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0


def is_running(pid: int) -> bool:
    """Whether a process runs; one that is dead and not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def pid_of(device: pymmio.Device) -> int:
    pid: int = device.handle.process.pid  # type: ignore[attr-defined]
    return pid


def footprint() -> tuple[set[str], list[str]]:
    maps = Path("/proc/self/maps").read_text()
    return set(os.listdir("/proc/self/fd")), sorted(re.findall(r"memfd:pymmio-\S+", maps))


def test_close_leaves_no_process_descriptor_mapping_or_file(tmp_path: Path, nvme: str) -> None:
    names = set(os.listdir("/tmp"))
    before = footprint()
    for uri in (nvme, "qemu:edu?machine=pc"):
        device = pymmio.open_device(uri)
        device.dma.alloc(1 << 20)
        pid = pid_of(device)
        assert is_running(pid)
        device.close()
        assert not is_running(pid)
        assert footprint() == before
    made = {name for name in set(os.listdir("/tmp")) - names if "qemu" in name or "pymmio" in name}
    assert not made


def test_it_is_not_a_child_of_the_thread_that_opened_it(opened: Open) -> None:
    made: list[pymmio.Device] = []
    thread = threading.Thread(target=lambda: made.append(opened("qemu:edu")))
    thread.start()
    thread.join(DEADLINE_S)
    (device,) = made
    for _ in range(20):
        assert device.region(0).read32(0) == 0x010000ED
        time.sleep(0.01)


OWNER = """
import os, sys, threading, time
import pymmio
device = pymmio.open_device("qemu:edu")
print(device.handle.process.pid, flush=True)
bar = device.region(0)
while True:
    bar.write32(4, 1)
    bar.read32(4)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_an_owner_that_is_killed_at_work(number: signal.Signals) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
    assert is_running(pid)
    owner.send_signal(number)
    owner.wait(DEADLINE_S)
    wait_until(lambda: not is_running(pid))


def test_it_ends_with_a_program_that_forgets_it() -> None:
    program = OWNER.partition("bar =")[0]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    pid = int(done.stdout)
    wait_until(lambda: not is_running(pid))


def test_a_ctrl_c_at_the_terminal_is_not_for_qemu(opened: Open) -> None:
    device = opened("qemu:edu")
    assert os.getsid(pid_of(device)) != os.getsid(0)


def test_who_polls_when_it_is_killed_gets_device_gone(opened: Open) -> None:
    device = opened("qemu:edu")
    bar = device.region(0)
    bar.write32(4, 0)
    caught: list[BaseException] = []
    started = threading.Event()

    def poll() -> None:
        started.set()
        try:
            bar.wait32(4, mask=1, value=0, timeout_s=DEADLINE_S)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    started.wait(DEADLINE_S)
    os.kill(pid_of(device), signal.SIGKILL)
    thread.join(DEADLINE_S)
    assert isinstance(caught[0], DeviceGone)
    assert "SIGKILL" in str(caught[0]) or "gone" in str(caught[0])
    for call in (lambda: bar.read32(0), lambda: bar.write32(4, 0), device.reset):
        with pytest.raises(DeviceGone):
            call()


def test_who_waits_when_it_is_killed_gets_device_gone_at_once(opened: Open) -> None:
    device = opened("qemu:edu")
    vector = device.irqs.msi[0]
    threading.Timer(0.05, os.kill, (pid_of(device), signal.SIGKILL)).start()
    start = time.monotonic()
    with pytest.raises(DeviceGone, match="SIGKILL"):
        vector.wait(DEADLINE_S)
    assert time.monotonic() - start < DEADLINE_S / 2


def test_it_can_be_killed_in_the_middle_of_posted_writes(opened: Open) -> None:
    device = opened("qemu:edu")
    bar = device.region(0)
    threading.Timer(0.02, os.kill, (pid_of(device), signal.SIGKILL)).start()
    with pytest.raises(DeviceGone):
        while True:
            bar.write32(4, 1)
    device.close()


def test_a_qemu_that_stops_answering_is_a_time_out(opened: Open) -> None:
    device = opened("qemu:edu?timeout=0.3")
    os.kill(pid_of(device), signal.SIGSTOP)
    try:
        with pytest.raises(pymmio.errors.DeviceTimeout, match="has not answered"):
            device.region(0).read32(0)
    finally:
        os.kill(pid_of(device), signal.SIGCONT)
    assert device.region(0).read32(0) == 0x010000ED  # the late answer was not taken for this one


def test_what_kills_qemu_itself_is_told_in_its_words(opened: Open) -> None:
    """QEMU 7.2 ends itself when edu's transfer leaves its buffer; 11.1 cuts the transfer short."""
    device = opened("qemu:edu")
    device.enable_bus_master()
    bar = device.region(0)
    buffer = device.dma.alloc(8192, address_bits=28)
    words = ""
    try:
        for offset, value in ((0x80, buffer.iova), (0x88, 0x40000), (0x90, 8192), (0x98, 1)):
            bar.write64(offset, value)
        bar.wait64(0x98, mask=1, value=0, timeout_s=DEADLINE_S)
    except DeviceGone as error:
        words = str(error)
    assert device.handle.is_gone() == bool(words)
    if words:
        assert "EDU" in words
        assert "CPU" not in words


def test_a_forked_child_leaves_it_alone(opened: Open) -> None:
    device = opened("qemu:edu")

    def child() -> None:
        with pytest.raises(pymmio.errors.ForkedObject):
            device.region(0)
        device.close()
        with pymmio.open_device("qemu:edu") as own:
            assert own.region(0).read32(0) == 0x010000ED

    in_forked_child(child)
    assert device.region(0).read32(0) == 0x010000ED


def test_a_system_without_qemu_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("PYMMIO_QEMU", raising=False)
    with pytest.raises(Unsupported, match="apt-get install qemu-system-x86"):
        pymmio.open_device("qemu:edu")


def test_thousands_of_writes_do_not_block(opened: Open) -> None:
    device = opened("qemu:edu")
    bar = device.region(0)
    for value in range(20000):
        bar.write32(4, value)
    assert bar.read32(4) == ~19999 & 0xFFFFFFFF


def test_signals_reach_a_program_that_waits_for_qemu(opened: Open) -> None:
    device = opened("qemu:edu")
    os.kill(pid_of(device), signal.SIGSTOP)

    class Alarm(Exception):
        pass

    def ring(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Alarm):
            device.region(0).read32(0)
    finally:
        signal.signal(signal.SIGALRM, before)
        os.kill(pid_of(device), signal.SIGCONT)
    assert device.region(0).read32(0) == 0x010000ED
