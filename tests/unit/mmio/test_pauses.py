"""Accesses that fail while a device is being reset are made again."""

from __future__ import annotations

import threading

import pytest

from pymmio.errors import AccessFault, DeviceTimeout
from pymmio.handle import Access, RegionInfo
from pymmio.mmio import HandleRegion
from pymmio.mmio.pauses import Pauses


class Register:
    """Keeps one value; fails while told so."""

    info = RegionInfo(0, "BAR0", 4096)

    def __init__(self) -> None:
        self.value = 7
        self.is_failing = False
        self.failed = threading.Event()

    def read(self, offset: int, width: int) -> int:
        self._fail()
        return self.value

    def write(self, offset: int, width: int, value: int) -> None:
        self._fail()
        self.value = value

    def _fail(self) -> None:
        if self.is_failing:
            self.failed.set()
            raise AccessFault("nobody answers")

    def mmap_source(self) -> None:
        return

    def pread_source(self) -> None:
        return


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def region(register: Register, pauses: Pauses) -> HandleRegion:
    whole = HandleRegion(register, access=Access.MESSAGE, pauses=pauses)
    return whole.window(0, 64)


def in_thread(results: list[object], call) -> threading.Thread:
    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_an_access_that_fails_during_a_pause_is_made_after_it(register, pauses, region) -> None:
    results: list[object] = []
    with pauses.during():
        register.is_failing = True
        reader = in_thread(results, lambda: region.read32(0))
        assert register.failed.wait(10)
        assert not results
        register.is_failing = False
    reader.join(10)
    assert results == [7]


def test_a_write_too(register, pauses, region) -> None:
    results: list[object] = []
    with pauses.during():
        register.is_failing = True
        writer = in_thread(results, lambda: region.write32(0, 9))
        assert register.failed.wait(10)
        register.is_failing = False
    writer.join(10)
    assert (results, register.value) == ([None], 9)


def test_without_a_pause_a_failure_is_a_failure(register, region) -> None:
    register.is_failing = True
    with pytest.raises(AccessFault):
        region.read32(0)


def test_a_failure_after_a_pause_is_a_failure(register, pauses, region) -> None:
    with pauses.during():
        pass
    register.is_failing = True
    with pytest.raises(AccessFault):
        region.write32(0, 1)


def test_who_was_turned_away_meanwhile_is_told(register, pauses, region) -> None:
    results: list[object] = []
    with pauses.during():
        register.is_failing = True
        reader = in_thread(results, lambda: region.read32(0))
        assert register.failed.wait(10)
        region.refuse(lambda: DeviceTimeout("the reset did not come back"))
    reader.join(10)
    assert [type(result) for result in results] == [DeviceTimeout]
