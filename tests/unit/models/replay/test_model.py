"""Opening a recording: options, files that are none, files that lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import pymmio
from pymmio.errors import TraceFileError, Unsupported, UriError
from pymmio.models.replay import ReplayModel
from pymmio.trace import DeviceFacts, DmaEvent, Event, IrqEvent, JsonLinesSink, MemoryEvent
from tests.unit.models.replay.sessions import FACTS, by_hand, read, replay
from tests.unit.trace.events import access


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sim:replay", "needs a recording"),
        ("sim:replay?file=/nowhere/x", "/nowhere/x cannot be read: No such file"),
        ("sim:replay?file=/", "cannot be read: Is a directory"),
        ("sim:replay?file=/dev/null&mode=lax", "Use strict or tolerant"),
        ("sim:replay?file=/dev/null&speed=2", "no option 'speed'"),
    ],
)
def test_wrong_options_are_told(uri: str, message: str) -> None:
    with pytest.raises(UriError, match=message):
        pymmio.open_device(uri)


def test_an_empty_file_is_no_recording() -> None:
    with pytest.raises(TraceFileError, match="is empty"):
        pymmio.open_device("sim:replay?file=/dev/null")


def test_a_trace_is_no_recording(path: Path) -> None:
    with JsonLinesSink(path) as sink:
        sink.begin(FACTS)
    with pytest.raises(TraceFileError, match="is a trace, not a recording"):
        replay(path)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (read(4096, 0), "outside of its region"),
        (read(-4, 0), "outside of its region"),
        (read(0, 0, index=3), "without a region"),
        (read(0, None), "without a value"),
        (access("wait", 0, 0), "'wait' is no single access"),
        (MemoryEvent(0, 0x1000, b"x"), "not inside what was mapped"),
        (IrqEvent(0, "irq", "smoke"), "interrupt 'smoke'"),
        (IrqEvent(0, "irq", "msix", count=1 << 33), "8589934592 interrupts"),
    ],
)
def test_what_cannot_have_happened_is_told_with_its_line(
    path: Path, event: Event, message: str
) -> None:
    with pytest.raises(TraceFileError, match=rf"line 3: .*{message}") as raised:
        replay(by_hand(path, [event]))
    assert raised.value.line == 3


def test_memory_must_not_reach_over_the_end_of_its_map(path: Path) -> None:
    events: list[Event] = [DmaEvent(0, "map", 0x1000, 4096), MemoryEvent(0, 0x1FFF, b"xy")]
    with pytest.raises(TraceFileError, match="not inside"):
        replay(by_hand(path, events))


def test_a_device_without_configuration_space_is_none(path: Path) -> None:
    with pytest.raises(TraceFileError, match="no configuration space"):
        replay(by_hand(path, [], replace(FACTS, regions=FACTS.regions[:1])))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (replace(FACTS, page_size=3000), "pages of 3000"),
        (replace(FACTS, page_size=1 << 30), "pages of"),
        (replace(FACTS, regions=(*FACTS.regions, FACTS.regions[0])), "a region twice"),
        (
            replace(FACTS, regions=(replace(FACTS.regions[1], size=1 << 60),)),
            "bytes of configuration space",
        ),
    ],
)
def test_a_device_that_cannot_be_is_none(path: Path, facts: DeviceFacts, message: str) -> None:
    with pytest.raises(TraceFileError, match=message):
        replay(by_hand(path, [], facts))


def test_a_recording_that_lacks_events_is_none(path: Path) -> None:
    by_hand(path, [])
    path.write_text(path.read_text().replace('"lost": 0', '"lost": 3'))
    with pytest.raises(TraceFileError, match="lacks 3 events"):
        replay(path)


def test_a_device_without_ids_is_none(path: Path) -> None:
    with pytest.raises(TraceFileError, match="the header has no 'vendor_id'"):
        replay(by_hand(path, [], replace(FACTS, ids={})))


def test_it_shares_memory_with_nobody(path: Path) -> None:
    by_hand(path, [])
    with pymmio.open_device("sim:edu") as other, pytest.raises(Unsupported):
        pymmio.open_device(f"sim:replay?file={path}", share_dma_with=other)


def test_it_cannot_be_served(path: Path) -> None:
    model = ReplayModel(file=str(by_hand(path, [])))
    with pytest.raises(Unsupported, match="cannot be served"):
        model.attach(None)  # type: ignore[arg-type]
