"""RecordedRegion: what the device got, access by access."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.errors import AccessFault, Closed, DeviceTimeout, Misaligned, ReadOnly
from pymmio.handle import Access
from pymmio.mmio import AccessRule, HandleRegion, Order, RecordedRegion
from pymmio.testing import mapped_region
from pymmio.trace import AccessEvent, RecordingSink
from pymmio.trace.reading import read
from tests.unit.mmio.recorder import Recorder
from tests.unit.trace.events import FACTS


class Recording:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.sink = RecordingSink(path)
        self.sink.begin(FACTS)

    def of(self, region) -> RecordedRegion:
        return RecordedRegion(region, self.sink, index=0)

    def events(self) -> list[AccessEvent]:
        with self.path.open("rb") as file:
            return [e for e in read(file, "x").events if isinstance(e, AccessEvent)]

    def seen(self) -> list[tuple[str, int, int, int | None]]:
        return [(e.kind, e.position, e.width, e.value) for e in self.events()]


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recording]:
    one = Recording(tmp_path / "session.jsonl")
    with one.sink:
        yield one


def test_each_access_is_an_event(recording: Recording) -> None:
    region = recording.of(mapped_region(64, name="BAR0"))
    region.write32(8, 0x11223344)
    assert region.read16(8) == 0x3344
    assert region.read(8, 8) == 0x11223344
    assert recording.seen() == [
        ("write", 8, 4, 0x11223344),
        ("read", 8, 2, 0x3344),
        ("read", 8, 8, 0x11223344),
    ]


def test_what_the_rule_splits_is_several(recording: Recording) -> None:
    region = recording.of(mapped_region(64))
    region.write64(16, 0x1_0000_0002, order=Order.HIGH_FIRST)
    assert recording.seen() == [("write", 20, 4, 1), ("write", 16, 4, 2)]


def test_values_are_as_on_the_bus_whatever_the_order_of_the_rule(recording: Recording) -> None:
    region = recording.of(mapped_region(64, rule=AccessRule(byteorder="big")))
    region.write32(0, 0x11223344)
    assert region.read32(0) == 0x11223344
    assert recording.seen() == [("write", 0, 4, 0x44332211), ("read", 0, 4, 0x44332211)]


def test_blocks_are_their_accesses(recording: Recording) -> None:
    region = recording.of(mapped_region(64))
    region.write_block(0, b"abcdefgh", width=4)
    assert region.read_block(0, 8, width=2) == b"abcdefgh"
    region.write_combined(8, bytes(16))
    assert [(kind, at, width) for kind, at, width, _ in recording.seen()] == [
        ("write", 0, 4), ("write", 4, 4),
        ("read", 0, 2), ("read", 2, 2), ("read", 4, 2), ("read", 6, 2),
        ("write", 8, 8), ("write", 16, 8),
    ]  # fmt: skip


def test_a_wait_is_polls_that_are_counted(recording: Recording) -> None:
    region = recording.of(mapped_region(64))
    assert region.wait32(0, mask=1, value=0, timeout_s=1) == 0
    with pytest.raises(DeviceTimeout):
        region.wait32(0, mask=1, value=1, timeout_s=0.002)
    first, second = recording.events()
    assert (first.kind, first.count, first.value) == ("poll", 1, 0)
    assert (second.kind, second.value) == ("poll", 0)
    assert second.count >= 2


def test_a_window_counts_from_the_start_of_the_region(recording: Recording) -> None:
    window = recording.of(mapped_region(64)).window(16, 32).window(8, 8)
    window.write8(1, 5)
    assert recording.seen() == [("write", 25, 1, 5)]


def test_doorbells_are_seen(recording: Recording) -> None:
    region = recording.of(mapped_region(64))
    region.window(32, 32).doorbell(4).ring(9)
    region.doorbell(2, 2).ring(3)
    assert recording.seen() == [("write", 36, 4, 9), ("write", 2, 2, 3)]


def test_what_never_reaches_the_device_is_no_event(recording: Recording) -> None:
    region = recording.of(HandleRegion(Recorder(writable=False), access=Access.MESSAGE))
    with pytest.raises(Misaligned):
        region.read32(1)
    with pytest.raises(ReadOnly):
        region.write32(0, 1)
    region.close()
    with pytest.raises(Closed):
        region.read32(0)
    assert recording.events() == []


class Broken(Recorder):
    def read(self, offset: int, width: int) -> int:
        raise AccessFault("nothing answers", offset=offset)


def test_what_the_device_refuses_is_an_event(recording: Recording) -> None:
    region = recording.of(HandleRegion(Broken(), access=Access.MESSAGE))
    with pytest.raises(AccessFault):
        region.read32(4)
    assert recording.events()[0].error == "AccessFault: nothing answers"
    assert recording.events()[0].value is None


def test_a_view_is_noted_as_it_cannot_be_seen_into(recording: Recording) -> None:
    region = recording.of(mapped_region(64, rule=AccessRule(ram_like=True)))
    region.view().release()
    with recording.path.open("rb") as file:
        assert [event.kind for event in read(file, "x").events] == ["view"]
