"""Sinks: rings, text, files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pymmio.errors import BadArgument
from pymmio.trace import (
    AccessEvent,
    EventRing,
    JsonLinesSink,
    MemoryEvent,
    RecordingSink,
    RegisterNames,
    TextSink,
)
from pymmio.trace.lines import LONGEST_DATA
from pymmio.trace.reading import read
from tests.unit.trace.events import FACTS, STORY, access


def feed(sink: EventRing | TextSink | JsonLinesSink) -> None:
    sink.begin(FACTS)
    for event in STORY:
        if isinstance(event, AccessEvent):
            sink(event)
        else:
            sink.note(event)


def test_the_ring_tells_the_story_in_the_order_of_time() -> None:
    ring = EventRing()
    feed(ring)
    assert ring.story() == STORY


def test_polling_does_not_push_out_interrupts() -> None:
    ring = EventRing(3)
    feed(ring)
    for _ in range(100):
        ring(access("read", 0, 0))
    assert len(ring.events) == len(ring.notes) == 3
    assert ring.notes[-1] == STORY[-1]


def test_text_has_seconds_threads_and_names() -> None:
    stream = io.StringIO()
    sink = TextSink(stream)
    sink.name_registers(0, RegisterNames.of({0x1C: "CSTS"}))
    feed(sink)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "    0.000000 [7] device open"
    assert lines[1] == "    0.000002 [7] BAR0.CSTS read32 = 0xffffffff"
    assert "[8] interrupt msix[3] (2 times)" in lines[9]
    assert len(lines) == len(STORY)


def test_json_lines_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    with JsonLinesSink(path) as sink:
        feed(sink)
        sink.name_registers(0, RegisterNames.of({0x1C: "CSTS"}))
    with path.open("rb") as file:
        found = read(file, "trace")
    assert found.events == STORY
    assert not found.is_recording
    assert found.names[0].find(0x1C, 4)[0] == "CSTS"
    assert found.is_complete


def test_a_limit_bounds_the_file_and_says_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    with JsonLinesSink(path, limit=5) as sink:
        feed(sink)
    with path.open("rb") as file:
        found = read(file, "trace")
    assert found.events == STORY[:5]
    assert found.lost == len(STORY) - 5


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "trace.jsonl")
    feed(sink)
    sink.end()
    size = (tmp_path / "trace.jsonl").stat().st_size
    sink(access("read", 0, 0))
    sink.close()
    assert (tmp_path / "trace.jsonl").stat().st_size == size


def test_a_file_is_for_one_device(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "trace.jsonl") as sink:
        sink.begin(FACTS)
        with pytest.raises(BadArgument, match="already has the trace of sim:thing"):
            sink.begin(FACTS)


def test_flushed_lines_are_in_the_file(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "trace.jsonl") as sink:
        feed(sink)
        sink.flush()
        assert len((tmp_path / "trace.jsonl").read_text().splitlines()) == len(STORY) + 1


def test_a_recording_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with RecordingSink(path) as sink:
        sink.begin(FACTS)
        sink.note(STORY[0])  # type: ignore[arg-type]
        assert len(path.read_text().splitlines()) == 2


def test_equal_polls_are_one_event_until_something_else_happens(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with RecordingSink(path) as sink:
        sink.begin(FACTS)
        for value in (0, 0, 0, 1, 1):
            with sink.around():
                sink.after(access("poll", 0x1C, value))
        sink.note(STORY[9])  # type: ignore[arg-type]
        with sink.around():
            sink.after(access("poll", 0x1C, 1))
    with path.open("rb") as file:
        found = read(file, "trace")
    seen = [(e.kind, getattr(e, "value", None), getattr(e, "count", 1)) for e in found.events]
    assert seen == [("poll", 0, 3), ("poll", 1, 2), ("irq", None, 2), ("poll", 1, 1)]


def test_long_memory_is_cut_into_pieces(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    data = bytes(range(256)) * (LONGEST_DATA // 128)
    with RecordingSink(path) as sink:
        sink.begin(FACTS)
        sink.note(MemoryEvent(1, 0x1000, data))
    with path.open("rb") as file:
        found = read(file, "trace")
    assert [getattr(e, "iova", 0) for e in found.events] == [0x1000, 0x1000 + LONGEST_DATA]
    assert b"".join(e.data for e in found.events if isinstance(e, MemoryEvent)) == data


def test_each_line_is_ascii_json(tmp_path: Path) -> None:
    with JsonLinesSink(tmp_path / "trace.jsonl") as sink:
        sink.begin(FACTS)
        sink(access("read", 0, None, error="größer"))
    lines = (tmp_path / "trace.jsonl").read_bytes().splitlines()
    assert [json.loads(line.decode("ascii")) for line in lines][1]["error"] == "größer"
