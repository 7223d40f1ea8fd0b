"""Hot-plug events: from what the monitor gives, awaited and iterated."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import pymmio
from pymmio.errors import BadArgument, Closed, EventsLost, Unsupported
from pymmio.pci import watch as module
from pymmio.pci.address import PciAddress
from pymmio.pci.watch import Action, HotplugEvent, Source, Watch, events

SOON_S = 20


class FakeMonitor:
    """What pyudev.Monitor does, with a socket that is readable while there are events."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._queue: list[object] = []

    def put(self, item: object) -> None:
        self._queue.append(item)
        self._theirs.send(b".")

    def fileno(self) -> int:
        return self._ours.fileno()

    def poll(self, timeout: float) -> object:
        assert timeout == 0
        if not self._queue:
            return None
        self._ours.recv(1)
        item = self._queue.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def uevent(action: str, name: str = "0000:01:00.0", **properties: str) -> SimpleNamespace:
    path = f"/nowhere/{name}"
    return SimpleNamespace(action=action, sys_name=name, sys_path=path, properties=properties)


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMonitor]:
    fake = FakeMonitor()
    monkeypatch.setattr(module, "_start", lambda source: fake)
    yield fake
    fake.close()


def make_function(root: Path, name: str) -> SimpleNamespace:
    path = root / name
    path.mkdir()
    for file, value in {
        "vendor": "0x1b36",
        "device": "0x0010",
        "class": "0x010802",
        "revision": "0x02",
        "subsystem_vendor": "0x1af4",
        "subsystem_device": "0x1100",
    }.items():
        (path / file).write_text(f"{value}\n")
    (path / "resource").write_text("")
    properties = {"PCI_ID": "1B36:0010", "DRIVER": "nvme"}
    return SimpleNamespace(action="bind", sys_name=name, sys_path=str(path), properties=properties)


def test_an_event_has_what_the_kernel_shows(monitor: FakeMonitor, tmp_path: Path) -> None:
    monitor.put(make_function(tmp_path, "0000:01:00.0"))
    with pymmio.watch() as watch:
        event = watch.wait(SOON_S)
    assert event is not None
    assert (event.action, event.driver) == (Action.BIND, "nvme")
    assert event.address == PciAddress.parse("0000:01:00.0")
    assert (event.vendor_id, event.device_id) == (0x1B36, 0x0010)
    assert event.info is not None
    assert event.info.class_code == 0x010802
    assert event.as_dict()["info"] == event.info.as_dict()
    assert str(event).startswith("bind 0000:01:00.0 ")
    assert str(event).endswith("(driver nvme)")


def test_a_removed_function_has_its_ids_and_no_info(monitor: FakeMonitor) -> None:
    monitor.put(uevent("remove", PCI_ID="1AF4:1041"))
    monitor.put(uevent("remove"))
    with Watch() as watch:
        event, bare = watch.try_take(), watch.try_take()
    assert event is not None
    assert event.info is None
    assert (event.vendor_id, event.device_id, event.driver) == (0x1AF4, 0x1041, None)
    assert str(event) == "remove 0000:01:00.0 [1af4:1041]"
    assert str(bare) == "remove 0000:01:00.0 a PCI function"


def test_a_function_that_went_again_before_it_was_looked_at_has_no_info(
    monitor: FakeMonitor,
) -> None:
    monitor.put(uevent("add"))
    with Watch() as watch:
        event = watch.wait(SOON_S)
    assert event is not None
    assert event.action is Action.ADD
    assert event.info is None


def test_what_is_not_known_is_left_out(monitor: FakeMonitor) -> None:
    monitor.put(uevent("transmogrify"))
    monitor.put(uevent("add", name="slot-7"))
    with Watch() as watch:
        assert watch.try_take() is None
        assert watch.wait(0.0) is None


def test_the_iterator_ends_when_nothing_came_in_time(monitor: FakeMonitor) -> None:
    stream = events(0.01)
    monitor.put(uevent("add"))
    monitor.put(uevent("remove"))
    assert [event.action for event in stream] == ["add", "remove"]


def test_events_are_awaited(monitor: FakeMonitor) -> None:
    async def main() -> list[Action]:
        found: list[Action] = []
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SOON_S), pymmio.watch() as watch:
            monitor.put(uevent("add"))
            loop.call_soon(monitor.put, uevent("remove"))
            async for event in watch:
                found.append(event.action)
                if len(found) == 2:
                    watch.close()
        return found

    before = set(os.listdir("/proc/self/fd"))
    assert asyncio.run(main()) == [Action.ADD, Action.REMOVE]
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_cancelled_wait_leaves_no_reader(monitor: FakeMonitor) -> None:
    async def main() -> HotplugEvent:
        watch = Watch()
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        monitor.put(uevent("change"))
        async with asyncio.timeout(SOON_S):
            return await anext(watch)

    before = set(os.listdir("/proc/self/fd"))
    assert asyncio.run(main()).action is Action.CHANGE
    assert set(os.listdir("/proc/self/fd")) == before


def test_lost_events_are_told_once(monitor: FakeMonitor) -> None:
    monitor.put(OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)))
    monitor.put(uevent("add"))
    with Watch() as watch:
        with pytest.raises(EventsLost, match=r"pymmio\.discover"):
            watch.wait(SOON_S)
        assert watch.wait(SOON_S) is not None
    monitor.put(OSError(errno.EIO, "other"))
    with Watch() as watch, pytest.raises(OSError, match="other"):
        watch.try_take()


def test_a_closed_watch_is_refused(monitor: FakeMonitor) -> None:
    watch = Watch()
    watch.close()
    watch.close()
    assert watch.closed
    for call in (watch.fileno, watch.try_take, watch.__enter__):
        with pytest.raises(Closed):
            call()
    assert "closed" in repr(watch)


def test_udevd_passes_events_on_where_it_runs(
    monitor: FakeMonitor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "UDEVD", tmp_path)
    assert Watch().source is Source.UDEV
    monkeypatch.setattr(module, "UDEVD", tmp_path / "missing")
    assert Watch().source is Source.KERNEL
    assert Watch(source="udev").source is Source.UDEV
    with pytest.raises(BadArgument, match="Choose from auto, udev, kernel"):
        Watch(source="rumour")


def test_without_libudev_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyudev", None)
    with pytest.raises(Unsupported, match="libudev"):
        Watch()


def test_the_real_monitor_starts_without_rights() -> None:
    pytest.importorskip("pyudev", reason="pyudev or libudev is not installed")
    with Watch(source="kernel") as watch:
        assert watch.fileno() >= 0
        assert repr(watch) == "<Watch of PCI events from kernel>"
