"""The NVMe controller as contracts use it: what it makes of a command that does not end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

import pymmio
from pymmio.errors import DeviceTimeout
from pymmio.testing.contract.devices import DEVICES
from pymmio.testing.contract.devices.base import Exerciser

CSTS = 0x1C
PATIENCE_S = 60.0


@pytest.fixture
def exerciser() -> Iterator[Exerciser]:
    with pymmio.open_device("sim:nvme?size=1M") as device:
        yield DEVICES["nvme"](device, PATIENCE_S)


def put_before(
    monkeypatch: pytest.MonkeyPatch,
    exerciser: Exerciser,
    read: Callable[[], int],
    write: Callable[[int, int], None] = lambda offset, value: None,
) -> None:
    """Have ``read`` give CSTS, and ``write`` take the doorbell; by default it is lost."""

    def read32(offset: int) -> int:
        assert offset == CSTS
        return read()

    bar = SimpleNamespace(read32=read32, write32=write)
    monkeypatch.setattr(type(exerciser), "bar", bar)


def test_a_controller_that_failed_is_not_waited_for(
    exerciser: Exerciser, monkeypatch: pytest.MonkeyPatch
) -> None:
    exerciser.start()
    states = iter((1, 3))
    with exerciser.alloc(4096) as buffer:
        put_before(monkeypatch, exerciser, lambda: next(states))
        with pytest.raises(DeviceTimeout, match="CSTS is 0x3"):
            exerciser.store(buffer.iova, exerciser.unit)
    assert list(states) == []


def test_one_that_is_not_there_has_its_time(
    exerciser: Exerciser, monkeypatch: pytest.MonkeyPatch
) -> None:
    exerciser.start()
    exerciser.patience_s = 0.5
    read: list[int] = []
    with exerciser.alloc(4096) as buffer:
        put_before(monkeypatch, exerciser, lambda: read.append(1) or 0xFFFF_FFFF)
        with pytest.raises(DeviceTimeout, match="CSTS is 0xffffffff"):
            exerciser.store(buffer.iova, exerciser.unit)
    assert len(read) > 1


def test_a_completion_that_comes_with_the_failure_counts(
    exerciser: Exerciser, monkeypatch: pytest.MonkeyPatch
) -> None:
    exerciser.start()
    bar = exerciser.bar
    rung: list[tuple[int, int]] = []

    def read() -> int:
        bar.write32(*rung.pop(0))  # only now does the command arrive
        return 3

    with exerciser.alloc(4096) as buffer:
        put_before(monkeypatch, exerciser, read, lambda *at: rung.append(at))
        assert exerciser.store(buffer.iova, exerciser.unit)
