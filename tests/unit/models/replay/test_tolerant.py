"""Tolerant replay, step by step."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.errors import AccessFault, ReplayMismatch
from pymmio.trace import DmaEvent, Event, IrqEvent, MemoryEvent
from tests.unit.models.replay.sessions import by_hand, poll, read, replay, write

DEADLINE_S = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def test_values_come_in_order_and_the_last_again(path: Path) -> None:
    with replay(by_hand(path, [read(0, 1), read(0, 2)]), "tolerant") as device:
        assert [device.region(0).read32(0) for _ in range(4)] == [1, 2, 2, 2]


def test_a_read_gives_what_was_read_after_the_same_write(path: Path) -> None:
    events = [read(0, 1), write(4, 1), read(0, 2), read(0, 3), write(4, 2), read(0, 4)]
    with replay(by_hand(path, events), "tolerant") as device:
        bar = device.region(0)
        bar.write32(4, 1)
        assert [bar.read32(0) for _ in range(4)] == [2, 3, 3, 3]
        bar.write32(4, 2)
        assert bar.read32(0) == 4


def test_polls_count_as_one(path: Path) -> None:
    with replay(by_hand(path, [poll(0, 0, 99), poll(0, 1, 5)]), "tolerant") as device:
        assert [device.region(0).read32(0) for _ in range(3)] == [0, 1, 1]


def test_independent_registers_may_change_places(path: Path) -> None:
    events = [write(4, 1), read(0, 7), write(8, 2), read(12, 8)]
    with replay(by_hand(path, events), "tolerant") as device:
        bar = device.region(0)
        bar.write32(8, 2)
        assert bar.read32(12) == 8
        bar.write32(4, 1)
        assert bar.read32(0) == 7


def test_writes_that_were_not_recorded_do_nothing(path: Path) -> None:
    with replay(by_hand(path, [write(4, 1), read(0, 7)]), "tolerant") as device:
        bar = device.region(0)
        bar.write32(0x100, 5)
        bar.write32(4, 1)
        bar.write32(4, 1)
        assert bar.read32(0) == 7
        assert bar.read32(0x100) == 5


def test_a_doorbell_that_rings_less_often_gets_all_that_follows(path: Path) -> None:
    events: list[Event] = [
        DmaEvent(0, "map", 0x1000, 4096),
        write(4, 1),
        MemoryEvent(0, 0x1000, b"one"),
        write(4, 2),
        MemoryEvent(0, 0x1010, b"two"),
        IrqEvent(0, "irq", "msix"),
    ]
    with replay(by_hand(path, events), "tolerant") as device:
        vector = device.irqs.msix[0]
        buffer = device.dma.alloc(4096)
        device.region(0).write32(4, 2)
        assert vector.wait(DEADLINE_S) == 1
        assert (bytes(buffer[:3]), bytes(buffer[16:19])) == (b"one", b"two")


def test_a_write_with_another_value_takes_the_place_of_the_next(path: Path) -> None:
    with replay(by_hand(path, [write(4, 1), read(0, 7)]), "tolerant") as device:
        device.region(0).write32(4, 99)
        assert device.region(0).read32(0) == 7


def test_a_register_that_nobody_read_has_no_value(path: Path) -> None:
    with replay(by_hand(path, [read(0, 1)]), "tolerant") as device:
        with pytest.raises(ReplayMismatch, match=r"read16 BAR0\+0x20, .* nothing of it"):
            device.region(0).read16(0x20)


def test_failures_are_played_too(path: Path) -> None:
    events = [read(0, None, error="AccessFault: no"), write(4, 0, error="AccessFault: nor that")]
    with replay(by_hand(path, events), "tolerant") as device:
        with pytest.raises(AccessFault, match="no"):
            device.region(0).read32(0)
        with pytest.raises(AccessFault, match="nor that"):
            device.region(0).write32(4, 1)


def test_a_read_of_later_answers_where_there_is_no_other(path: Path) -> None:
    with replay(by_hand(path, [write(4, 1), read(0, 7)]), "tolerant") as device:
        assert device.region(0).read32(0) == 7


def test_resets_and_an_early_end_are_fine(path: Path) -> None:
    with replay(by_hand(path, [read(0, 1), write(4, 1)]), "tolerant") as device:
        device.reset()
