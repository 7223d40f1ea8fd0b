"""The file for Perfetto: it follows the trace event format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pymmio.trace import PerfettoSink, RegisterNames
from tests.unit.trace.events import FACTS, STORY, access

METADATA = {
    "lost_events": "count",
    "process_name": "name",
    "thread_name": "name",
    "thread_sort_index": "sort_index",
}


def written(path: Path, *, limit: int | None = None) -> list[dict[str, Any]]:
    with PerfettoSink(path, limit=limit) as sink:
        sink.begin(FACTS)
        sink.name_registers(0, RegisterNames.of({0x1C: "CSTS", 0x20: "TAIL"}))
        for event in STORY:
            sink.write(event)
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def test_each_event_is_one_of_the_format(tmp_path: Path) -> None:
    """Trace Event Format: what each phase must have, and of which type."""
    tracks = set()
    for event in written(tmp_path / "trace.json"):
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["ts"], float)
        assert event["ph"] in "XiCM"
        match event["ph"]:
            case "X":
                assert event["dur"] >= 0
                assert event["tid"] in tracks
            case "i":
                assert event["s"] == "t"
                assert event["tid"] in tracks
            case "C":
                assert all(isinstance(value, int) for value in event["args"].values())
            case "M":
                assert METADATA[event["name"]] in event["args"]
                tracks.add(event["tid"])


def test_times_are_microseconds_from_start_to_end_of_an_access(tmp_path: Path) -> None:
    first = next(e for e in written(tmp_path / "trace.json") if e["ph"] == "X")
    assert (first["ts"], first["dur"]) == (1.99, 0.01)
    assert first["name"] == "read32 CSTS"
    assert first["args"]["value"] == "0xffffffff"


def test_regions_interrupts_and_memory_have_tracks(tmp_path: Path) -> None:
    named = {
        e["args"]["name"] for e in written(tmp_path / "trace.json") if e["name"] == "thread_name"
    }
    assert named == {"BAR0 (thread 7)", "interrupts", "DMA", "device"}


def test_counters_count(tmp_path: Path) -> None:
    counters = [
        (e["name"], e["args"]["value"]) for e in written(tmp_path / "trace.json") if e["ph"] == "C"
    ]
    assert counters == [
        ("BAR0.TAIL", 0x11223344),
        ("mapped DMA bytes", 0x2000),
        ("interrupts msix[3]", 2),
        ("mapped DMA bytes", 0),
    ]


def test_accesses_of_two_threads_do_not_overlap_on_a_track(tmp_path: Path) -> None:
    with PerfettoSink(tmp_path / "trace.json") as sink:
        sink(access("read", 0, 0, time_ns=1000, duration_ns=500, thread=1))
        sink(access("read", 0, 0, time_ns=1200, duration_ns=500, thread=2))
    events = json.loads((tmp_path / "trace.json").read_text())
    assert len({e["tid"] for e in events if e["ph"] == "X"}) == 2


def test_a_limit_bounds_the_file(tmp_path: Path) -> None:
    events = written(tmp_path / "trace.json", limit=3)[:-1]
    assert len([e for e in events if e["ph"] in "Xi"]) == 3


def test_without_a_device_it_is_a_valid_file_too(tmp_path: Path) -> None:
    PerfettoSink(tmp_path / "trace.json").close()
    assert json.loads((tmp_path / "trace.json").read_text()) == []
