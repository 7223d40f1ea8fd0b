"""Strict replay, step by step, on recordings that were written by hand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pymmio.errors import AccessFault, DeviceGone, DeviceTimeout, ReplayMismatch, Unsupported
from pymmio.pci import Command
from pymmio.trace import DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from tests.unit.models.replay.sessions import by_hand, config, poll, read, replay, write

DEADLINE_S = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


def test_reads_give_what_was_read_and_writes_must_be_the_same(path: Path) -> None:
    with replay(by_hand(path, [read(0, 7), write(4, 8), read(0, 9)])) as device:
        bar = device.region(0)
        assert bar.read32(0) == 7
        bar.write32(4, 8)
        assert bar.read32(0) == 9


@pytest.mark.parametrize(
    ("offset", "width", "value", "message"),
    [
        (8, 4, 8, r"expected write32 BAR0\+0x4 = 0x8, got write32 BAR0\+0x8 = 0x8"),
        (4, 2, 8, r"expected write32 BAR0\+0x4 = 0x8, got write16 BAR0\+0x4 = 0x8"),
        (4, 4, 9, r"expected write32 BAR0\+0x4 = 0x8, got write32 BAR0\+0x4 = 0x9"),
        (4, 4, None, r"expected write32 BAR0\+0x4 = 0x8, got read32 BAR0\+0x4"),
    ],
)
def test_each_difference_is_told(
    path: Path, offset: int, width: int, value: int | None, message: str
) -> None:
    with pytest.raises(ReplayMismatch, match=r"session.jsonl, line 3: " + message):
        with replay(by_hand(path, [write(4, 8)])) as device:
            if value is None:
                device.region(0).read(offset, width)
            else:
                device.region(0).write(offset, width, value)


def test_after_a_difference_every_access_raises_it(path: Path) -> None:
    with pytest.raises(ReplayMismatch) as last:
        with replay(by_hand(path, [write(4, 8), read(0, 1)])) as device:
            with pytest.raises(ReplayMismatch) as first:
                device.region(0).read32(0)
            with pytest.raises(ReplayMismatch) as second:
                device.region(0).write32(4, 8)
            assert first.value is second.value
    assert last.value is first.value


def test_the_rest_of_a_recording_does_not_hide_why_the_driver_stopped(path: Path) -> None:
    with pytest.raises(ValueError, match="the driver's own") as stopped:
        with replay(by_hand(path, [write(4, 8), read(0, 1)])) as device:
            device.region(0).write32(4, 8)
            raise ValueError("the driver's own")
    [note] = stopped.value.__notes__
    assert note.startswith("and then, while closing: ")
    assert "session.jsonl, line 4: expected read32" in note


def test_polls_may_be_fewer_or_more(path: Path) -> None:
    events = [poll(0, 0, 5), poll(0, 2, 3), poll(0, 1), write(4, 1), poll(0, 0, 7), write(8, 1)]
    with replay(by_hand(path, events)) as device:
        bar = device.region(0)
        assert bar.wait32(0, mask=1, value=1, timeout_s=DEADLINE_S) == 1
        bar.write32(4, 1)
        assert bar.read32(0) == 0
        bar.write32(8, 1)
    with replay(by_hand(path, events)) as device:
        bar = device.region(0)
        assert [bar.read32(0) for _ in range(12)] == [0] * 5 + [2] * 3 + [1] * 4
        bar.write32(4, 1)
        with pytest.raises(DeviceTimeout):
            bar.wait32(0, mask=1, value=1, timeout_s=0.05)
        bar.write32(8, 1)


def test_the_rest_of_a_poll_may_be_missing_at_the_end(path: Path) -> None:
    with replay(by_hand(path, [poll(0, 0, 5), poll(0, 1)])) as device:
        assert device.region(0).read32(0) == 0


def test_an_access_that_failed_fails_again(path: Path) -> None:
    events = [
        read(0, None, error="AccessFault: nothing answers"),
        read(0, None, error="DeviceGone: it left"),
        write(4, 0, error="Strange: who knows"),
    ]
    with replay(by_hand(path, events)) as device:
        bar = device.region(0)
        with pytest.raises(AccessFault, match="nothing answers"):
            bar.read32(0)
        with pytest.raises(DeviceGone, match="it left"):
            bar.read32(0)
        with pytest.raises(AccessFault, match="Strange: who knows"):
            bar.write32(4, 0)


def test_configuration_space_is_read_at_any_time_and_written_as_recorded(path: Path) -> None:
    events = [
        config("read", 0x50, 1),
        config("read", 0x50, 2),
        read(0, 7),
        config("read", 0x50, 3),
        config("write", 4, 6),
        config("read", 4, 6),
    ]
    with replay(by_hand(path, events)) as device:
        assert [device.config.read16(0x50) for _ in range(3)] == [1, 2, 2]
        assert device.config.vendor_id == 0x1AF4
        device.region(0).read32(0)
        assert device.config.read16(0x50) == 3
        device.enable_bus_master()
        assert device.config.command & Command.BUS_MASTER
        with pytest.raises(ReplayMismatch, match=r"the recording ends .* got write16 config\+0x4"):
            device.disable_bus_master()
        with pytest.raises(ReplayMismatch):
            device.close()


RESET: tuple[Event, ...] = (LifeEvent(0, "reset"), config("read", 4, 0), config("write", 4, 2))


def test_a_reset_must_come_where_it_was(path: Path) -> None:
    events: list[Event] = [read(0, 1), *RESET, read(0, 2)]
    with replay(by_hand(path, events)) as device:
        assert device.region(0).read32(0) == 1
        device.reset()
        assert device.region(0).read32(0) == 2
    with pytest.raises(ReplayMismatch, match=r"expected reset, got read32 BAR0\+0x0"):
        with replay(path) as device:
            device.region(0).read32(0)
            device.region(0).read32(0)
    with pytest.raises(ReplayMismatch, match=r"expected read32 BAR0\+0x0, got reset"):
        with replay(path) as device:
            device.reset()


def test_a_reset_that_failed_fails_again(path: Path) -> None:
    events: list[Event] = [LifeEvent(0, "reset", "DeviceGone: it left")]
    with replay(by_hand(path, events)) as device:
        with pytest.raises(OSError, match="it left"):
            device.reset()


# --- memory -------------------------------------------------------------------------------


def test_memory_comes_after_the_access_before_it(path: Path) -> None:
    events: list[Event] = [
        DmaEvent(0, "map", 0x1000, 4096),
        write(0, 1),
        MemoryEvent(0, 0x1010, b"first"),
        write(0, 2),
        MemoryEvent(0, 0x1010, b"other"),
        DmaEvent(0, "unmap", 0x1000, 4096),
    ]
    with replay(by_hand(path, events)) as device:
        buffer = device.dma.alloc(4096)
        assert buffer.iova == 0x1000
        seen = []
        for value in (1, 2):
            device.region(0).write32(0, value)
            seen.append(bytes(buffer[0x10:0x15]))
        assert seen == [b"first", b"other"]


def test_an_address_that_is_another_one_now_is_translated(path: Path) -> None:
    events: list[Event] = [
        DmaEvent(0, "map", 0x80000, 8192),
        write(0, 0x80040),
        MemoryEvent(0, 0x81000, b"there"),
    ]
    with replay(by_hand(path, events)) as device:
        buffer = device.dma.alloc(8192)
        assert buffer.iova != 0x80000
        device.region(0).write32(0, buffer.iova + 0x40)
        assert bytes(buffer[0x1000:0x1005]) == b"there"
    with pytest.raises(ReplayMismatch, match="expected write32"):
        with replay(path) as device:
            buffer = device.dma.alloc(8192)
            device.region(0).write32(0, buffer.iova + 0x44)


def test_memory_that_comes_before_its_map_waits_for_it(path: Path) -> None:
    events: list[Event] = [
        write(0, 1),
        DmaEvent(0, "map", 0x1000, 4096),
        MemoryEvent(0, 0x1000, b"early"),
        write(0, 2),
    ]
    with replay(by_hand(path, events)) as device:
        device.region(0).write32(0, 1)
        buffer = device.dma.alloc(4096)
        assert bytes(buffer[:5]) == b"early"
        device.region(0).write32(0, 2)


def test_memory_that_the_recording_has_not_is_mapped_too(path: Path) -> None:
    with replay(by_hand(path, [])) as device:
        with device.dma.alloc(4096) as buffer:
            assert bytes(buffer[:4]) == bytes(4)


# --- interrupts ---------------------------------------------------------------------------


def irq(vector: int = 0, count: int = 1, kind: str = "msix") -> IrqEvent:
    return IrqEvent(0, "irq", kind, vector, count)


def test_an_interrupt_comes_after_the_access_before_it(path: Path) -> None:
    events: list[Event] = [write(0, 1), irq(1, 3), read(4, 0)]
    with replay(by_hand(path, events)) as device:
        vector = device.irqs.msix[1]
        assert vector.try_take() == 0
        device.region(0).write32(0, 1)
        assert vector.wait(DEADLINE_S) == 3
        device.region(0).read32(4)


def test_each_interrupt_is_one_of_its_own(path: Path) -> None:
    with replay(by_hand(path, [write(0, 1), irq(), irq(), irq()])) as device:
        vector = device.irqs.msix[0]
        device.region(0).write32(0, 1)
        assert [vector.wait(DEADLINE_S) for _ in range(3)] == [1, 1, 1]


def test_one_that_comes_before_it_is_on_waits(path: Path) -> None:
    with replay(by_hand(path, [write(0, 1), irq()])) as device:
        device.region(0).write32(0, 1)
        assert device.irqs.msix[0].wait(DEADLINE_S) == 1


def test_intx_stays_masked_until_somebody_asks_again(path: Path) -> None:
    events: list[Event] = [write(0, 1), irq(kind="intx"), irq(kind="intx"), read(4, 0)]
    with replay(by_hand(path, events)) as device:
        vector = device.irqs.intx[0]
        device.region(0).write32(0, 1)
        assert vector.wait(DEADLINE_S) == 1
        device.region(0).read32(4)
        assert vector.wait(DEADLINE_S) == 1


def test_interrupts_that_nobody_takes_do_not_keep_the_device_open(path: Path) -> None:
    start = time.monotonic()
    with replay(by_hand(path, [write(0, 1), irq(), irq()])) as device:
        assert device.irqs.msix[0].try_take() == 0
        device.region(0).write32(0, 1)
    assert time.monotonic() - start < DEADLINE_S


def test_a_kind_that_the_device_has_not_is_unsupported(path: Path) -> None:
    with replay(by_hand(path, [])) as device:
        with pytest.raises(Unsupported):
            device.irqs.msi[0]


def test_a_device_that_left_is_gone_from_there_on(path: Path) -> None:
    events: list[Event] = [read(0, 1), write(0, 1), LifeEvent(0, "gone"), read(0, 0xFFFF_FFFF)]
    with replay(by_hand(path, events)) as device:
        device.region(0).read32(0)
        device.check_present()
        device.region(0).write32(0, 1)
        with pytest.raises(DeviceGone):
            device.check_present()
        assert device.region(0).read32(0) == 0xFFFF_FFFF
