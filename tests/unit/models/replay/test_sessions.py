"""Recordings of real drivers play without the model, strict and tolerant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import pymmio
from pymmio.errors import PymmioError, ReplayMismatch
from pymmio.trace import MemoryEvent
from pymmio.trace.reading import read
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from pymmio_drivers.nvme.reaper import InterruptMode
from tests.unit.models.replay.sessions import PATTERN, edu_session, nvme_session, record, replay

MODES = ("strict", "tolerant")
INTERRUPTS: tuple[InterruptMode, ...] = (None, "msix", "msi", "intx")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@pytest.mark.parametrize(
    ("uri", "by_interrupt"), [("sim:edu", True), ("sim:edu?busy_reads=3", False)]
)
def test_a_session_of_edu(path: Path, uri: str, by_interrupt: bool) -> None:
    with record(uri, path) as device:
        before = edu_session(device, by_interrupt=by_interrupt)
    for mode in MODES:
        with replay(path, mode) as device:
            assert edu_session(device, by_interrupt=by_interrupt) == before


@pytest.mark.parametrize("interrupts", INTERRUPTS)
def test_a_session_of_nvme(path: Path, interrupts: InterruptMode) -> None:
    with record("sim:nvme?size=8M&msi=1", path) as device:
        before = nvme_session(device, interrupts)
    assert before[3] == PATTERN
    for mode in MODES:
        for _ in range(3):
            with replay(path, mode) as device:
                assert nvme_session(device, interrupts) == before


def until_it_leaves(device: pymmio.Device, leave: Callable[[], None]) -> str:
    """Use a controller until it is gone; return what the driver raises."""
    try:
        with Controller.open(device) as controller:
            namespace = controller.namespaces[1]
            namespace.read_bytes(lba=0, blocks=1)
            leave()
            namespace.read_bytes(lba=0, blocks=1)
    except PymmioError as error:
        return type(error).__name__
    return ""


def test_a_device_that_left_leaves_again(path: Path) -> None:
    with record("sim:nvme?size=8M", path) as device:
        slot = device.handle.slot
        before = until_it_leaves(device, lambda: slot.unplug(request=False))
    assert before == "ControllerGone"
    for mode in MODES:
        with replay(path, mode) as device:
            assert until_it_leaves(device, lambda: None) == before


def test_a_replay_can_be_recorded_and_is_the_same(path: Path, tmp_path: Path) -> None:
    with record("sim:nvme?size=8M", path) as device:
        nvme_session(device, None)
    again = tmp_path / "again.jsonl"
    with record(f"sim:replay?file={path}", again) as device:
        nvme_session(device, None)

    def story(file: Path) -> list[object]:
        with file.open("rb") as stream:
            events = read(stream, "x").events
        return [
            (e.iova, e.data) if isinstance(e, MemoryEvent) else (e.kind, getattr(e, "value", None))
            for e in events
        ]

    assert story(again) == story(path)


def test_the_device_looks_as_the_recorded_one(path: Path) -> None:
    with record("sim:nvme?size=8M", path) as device:
        ids, bars = device.config.ids, device.config.bars()
        vectors = len(device.irqs.msix)
        nvme_session(device)
    with replay(path, "tolerant") as device:
        assert device.config.ids == ids
        assert [(bar.index, bar.kind) for bar in device.config.bars()] == [
            (bar.index, bar.kind) for bar in bars
        ]
        assert device.region(0).size == 0x4000
        assert len(device.irqs.msix) == vectors


def test_a_driver_that_does_something_else_is_found_at_that_place(path: Path) -> None:
    with record("sim:edu", path) as device:
        edu_session(device, 5)
    with pytest.raises(
        ReplayMismatch,
        match=r"line \d+: expected write32 BAR0\+0x8 \(Factorial\) = 0x5, "
        r"got write32 BAR0\+0x8 \(Factorial\) = 0x7",
    ) as raised:
        with replay(path) as device:
            edu_session(device, 7)
    line = int(str(raised.value).partition("line ")[2].partition(":")[0])
    assert '"value": "0x5"' in path.read_text().splitlines()[line - 1]


def test_a_driver_that_swallows_errors_cannot_hide_the_difference(path: Path) -> None:
    with record("sim:nvme?size=8M", path) as device:
        nvme_session(device)
    device = replay(path)
    try:
        with Controller.open(device) as controller:
            controller.namespaces[1].read_bytes(lba=3, blocks=1)
    except Exception:  # whatever the driver makes of it
        pass
    with pytest.raises(ReplayMismatch, match="expected"):
        device.close()


def test_a_difference_is_told_once_however_often_it_is_met(path: Path) -> None:
    with record("sim:nvme?size=8M", path) as device, Controller.open(device):
        pass
    with pytest.raises(ReplayMismatch) as raised, replay(path) as device:
        with Controller.open(device) as controller:
            controller.namespaces[1]
    assert not getattr(raised.value, "__notes__", [])


def test_a_session_that_ends_early_is_told(path: Path) -> None:
    with record("sim:edu", path) as device:
        edu_session(device)
    with pytest.raises(ReplayMismatch, match=r"got the end: \d+ recorded steps were never made"):
        with replay(path) as device:
            assert Edu(device).is_alive()


def test_more_than_was_recorded_is_told(path: Path) -> None:
    with record("sim:edu", path) as device:
        edu_session(device)
    with pytest.raises(ReplayMismatch, match=r"expected write16 config\+0x4 .*got write32"):
        with replay(path) as device:
            edu_session(device)
            device.region(0).write32(8, 3)


def test_a_changed_driver_plays_tolerant(path: Path) -> None:
    with record("sim:edu", path) as device:
        before = edu_session(device)
    with replay(path, "tolerant") as device:
        bar = device.region(0)
        bar.write32(0x64, 0xFFFF)  # what nobody recorded
        for _ in range(20):
            assert bar.read32(0x20) & 1 == 0
        assert edu_session(device) == before


def test_a_recording_of_a_program_that_was_killed_plays_as_far_as_it_goes(path: Path) -> None:
    with record("sim:edu", path) as device:
        edu_session(device)
    lines = path.read_text().splitlines(keepends=True)
    cut = next(at for at, line in enumerate(lines) if '"irq-on"' in line)
    path.write_text("".join(lines[:cut]) + lines[cut][:30])
    with pytest.raises(ReplayMismatch, match="the recording ends after line"):
        with replay(path) as device:
            edu_session(device)
