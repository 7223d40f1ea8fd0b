"""TracedRegion: every access is an event, also one that raised."""

from __future__ import annotations

import threading
import time

import pytest

from pymmio.errors import Misaligned, Unsupported
from pymmio.mmio import AccessRule, Order, TracedRegion
from pymmio.testing import mapped_region
from pymmio.trace import RingSink


def test_accesses_become_events() -> None:
    sink = RingSink()
    region = TracedRegion(mapped_region(64, name="BAR0"), sink)
    region.write32(8, 0x11223344)
    region.read16(8)
    region.wait32(8, mask=0, value=0, timeout_s=1)
    region.write_block(0, bytes(8), width=4)
    region.window(16, 16).read8(1)
    with pytest.raises(Misaligned):
        region.read32(1)
    assert [(e.kind, e.offset, e.width, e.value) for e in sink.events] == [
        ("write", 8, 4, 0x11223344),
        ("read", 8, 2, 0x3344),
        ("wait", 8, 4, 0x11223344),
        ("block", 0, 4, None),
        ("read", 1, 1, 0),
        ("read", 1, 4, None),
    ]
    assert sink.events[-1].error is not None
    assert "Misaligned" in sink.events[-1].error
    assert str(sink.events[0]) == "BAR0+0x0008 write32 0x11223344"


def test_a_flush_is_the_read_that_it_makes() -> None:
    sink = RingSink()
    region = TracedRegion(mapped_region(64, name="BAR0"), sink)
    region.flush_writes(8)
    assert [(e.kind, e.offset, e.width) for e in sink.events] == [("read", 8, 4)]
    shy = TracedRegion(mapped_region(64, rule=AccessRule(read_side_effects=True)), sink)
    with pytest.raises(Unsupported):
        shy.flush_writes()
    assert len(sink.events) == 1


def test_events_say_where_when_and_who() -> None:
    sink = RingSink()
    region = TracedRegion(mapped_region(64, name="BAR0"), sink, index=2)
    region.window(16, 16).window(8, 8).read64(0, order=Order.LOW_FIRST)
    event = sink.events[0]
    assert (event.index, event.base, event.position) == (2, 24, 24)
    assert event.thread == threading.get_native_id()
    assert 0 <= event.time_ns - event.duration_ns <= time.monotonic_ns()


def test_a_doorbell_is_seen_too() -> None:
    sink = RingSink()
    region = TracedRegion(mapped_region(64), sink)
    region.doorbell(4).ring(9)
    assert [(e.kind, e.offset, e.value) for e in sink.events] == [("write", 4, 9)]
    assert region.read32(4) == 9


def test_the_ring_keeps_the_last_events() -> None:
    sink = RingSink(2)
    region = TracedRegion(mapped_region(64), sink)
    for offset in (0, 4, 8):
        region.read32(offset)
    assert [event.offset for event in sink.events] == [4, 8]
