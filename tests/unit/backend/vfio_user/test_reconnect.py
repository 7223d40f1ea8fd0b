"""A server that came back: what is there again, and what is refused."""

from __future__ import annotations

import os
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pymmio
from pymmio.errors import Closed, DeviceGone, DeviceNotFound, PymmioError, Unsupported
from tests.unit.backend.vfio_user.fake_server import (
    BAR2_AREA,
    BAR2_FILE_OFFSET,
    DEADLINE_S,
    DMA_MAP,
    DMA_READ,
    MSIX_CONTROL,
    PAGE,
    REGION_INFO,
    SET_IRQS,
    FakeServer,
    Reply,
    fake_server,
    region_info,
)

AREA = BAR2_AREA[0]
TIMEOUT_S = 10.0


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "s")


def wait_until_lost(device: pymmio.Device) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            device.region(0)
        except DeviceGone:
            return
        time.sleep(0.002)
    raise AssertionError("it was not lost")


def test_everything_that_was_taken_before_is_valid_again(path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    first = FakeServer(path)
    with pymmio.open_device(f"vfio-user:{path}") as device:
        bar, mapped = device.region(0), device.region(2)
        window, mapped_window = bar.window(0x100, 0x100), mapped.window(AREA, 0x100)
        bell, mapped_bell = bar.doorbell(0x40), mapped.doorbell(AREA + 0x40)
        vectors = device.irqs.msix.enable(3)
        buffer = device.dma.alloc(PAGE)
        memoryview(buffer)[:3] = b"abc"
        device.enable_bus_master()
        mapped.write32(AREA, 1)
        first.close()
        wait_until_lost(device)
        for call in (
            lambda: bar.read32(0),
            lambda: window.read32(0),
            lambda: mapped.read32(AREA),
            lambda: mapped_window.read32(0),
            lambda: bell.ring(1),
            lambda: vectors[0].wait(TIMEOUT_S),
            lambda: device.irqs.msix[0],
        ):
            with pytest.raises((DeviceGone, Closed)):
                call()
        second = FakeServer(path)
        device.reconnect(TIMEOUT_S)
        assert second.config[4] & 0x7 == 0x2  # decoding is on, bus mastering is the driver's
        bar.write32(0, 5)
        window.write32(0, 6)
        assert (second.bar0[0], second.bar0[0x100], first.bar0[0x100]) == (5, 6, 0)
        assert mapped.read32(AREA) == 0  # the new server's memory
        mapped_window.write32(4, 7)
        mapped_bell.ring(8)
        bell.ring(9)
        assert os.pread(second.memory, 1, BAR2_FILE_OFFSET + AREA + 4) == b"\7"
        assert os.pread(second.memory, 1, BAR2_FILE_OFFSET + AREA + 0x40) == b"\10"
        assert second.bar0[0x40] == 9
        assert second.config[MSIX_CONTROL + 1] & 0x80
        second.trigger(2, 2)
        assert vectors[2].wait(TIMEOUT_S) == 1
        assert vectors[0].try_take() == 0
        assert device.irqs.msix[1] is vectors[1]
        fd, _ = second.maps[buffer.iova]
        assert os.pread(fd, 3, 0) == b"abc"
        where = struct.pack("=QQ", buffer.iova, 3)
        assert second.ask(DMA_READ, where)[1] == where + b"abc"
        buffer.close()
        assert not second.maps
    second.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_could_not_be_switched_off_is_off_with_the_next_server(path: str) -> None:
    first = FakeServer(path)
    with pymmio.open_device(f"vfio-user:{path}") as device:
        device.irqs.msix.enable(2)
        first.answers[SET_IRQS] = lambda request: Reply(error=22)
        with pytest.raises(Unsupported):
            device.irqs.msix.disable()
        first.close()
        wait_until_lost(device)
        second = FakeServer(path)
        device.reconnect(TIMEOUT_S)
        assert not [request for request in second.requests if request.command == SET_IRQS]
        assert not second.config[MSIX_CONTROL + 1] & 0x80
    second.close()


def test_it_waits_for_a_server_that_starts_late(path: str) -> None:
    first = FakeServer(path)
    with pymmio.open_device(f"vfio-user:{path}") as device:
        first.close()
        wait_until_lost(device)
        started: list[FakeServer] = []
        timer = threading.Timer(0.2, lambda: started.append(FakeServer(path)))
        timer.start()
        device.reconnect(TIMEOUT_S)
        timer.join()
        assert device.region(0).read32(0) == 0
    started[0].close()


def test_it_can_be_lost_again(path: str) -> None:
    first = FakeServer(path)
    with pymmio.open_device(f"vfio-user:{path}") as device:
        vector = device.irqs.msix[0]
        for _ in range(3):
            first.close()
            wait_until_lost(device)
            with pytest.raises(DeviceGone):
                vector.wait(TIMEOUT_S)
            first = FakeServer(path)
            device.reconnect(TIMEOUT_S)
            first.trigger(2, 0)
            assert vector.wait(TIMEOUT_S) == 1
    first.close()


def test_nobody_there_leaves_it_gone(path: str) -> None:
    first = FakeServer(path)
    with pymmio.open_device(f"vfio-user:{path}") as device:
        bar = device.region(0)
        first.close()
        wait_until_lost(device)
        with pytest.raises(DeviceNotFound):
            device.reconnect(0.1)
        with pytest.raises(DeviceGone):
            bar.read32(0)
        second = FakeServer(path)
        device.reconnect(TIMEOUT_S)
        assert bar.read32(0) == 0
    second.close()


def test_another_device_is_refused_and_leaves_it_gone(path: str) -> None:
    first = FakeServer(path)
    before = len(os.listdir("/proc/self/fd"))
    with pymmio.open_device(f"vfio-user:{path}") as device:
        bar = device.region(0)
        first.close()
        wait_until_lost(device)
        second = FakeServer(path)
        second.config[2] = 0x99
        with pytest.raises(DeviceNotFound, match="another device"):
            device.reconnect(TIMEOUT_S)
        second.config[2] = 0x78
        second.answers[REGION_INFO] = lambda request: Reply(
            region_info(struct.unpack_from("=I", request.payload, 8)[0], 256, 3)
        )
        with pytest.raises(DeviceNotFound, match="other regions"):
            device.reconnect(TIMEOUT_S)
        with pytest.raises(DeviceGone):
            bar.read32(0)
    second.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_mapping_that_is_refused_the_second_time_leaves_it_gone(path: str) -> None:
    first = FakeServer(path)
    with pymmio.open_device(f"vfio-user:{path}") as device:
        bar = device.region(0)
        device.dma.alloc(PAGE)
        first.close()
        wait_until_lost(device)
        second = FakeServer(path, {DMA_MAP: lambda request: Reply(error=28)})
        with pytest.raises(PymmioError, match="no more"):
            device.reconnect(TIMEOUT_S)
        with pytest.raises(DeviceGone):
            bar.read32(0)
        del second.answers[DMA_MAP]
        device.reconnect(TIMEOUT_S)
        assert bar.read32(0) == 0
    second.close()


def test_a_server_that_is_there_is_connected_to_anew() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        device.reconnect(TIMEOUT_S)
        assert bar.read32(0) == 0
        assert server.connections == 2


def test_who_cannot_says_so() -> None:
    with pymmio.open_device("sim:edu") as device:
        with pytest.raises(Unsupported, match="by this object"):
            device.reconnect()
    with pytest.raises(Closed):
        device.reconnect()
