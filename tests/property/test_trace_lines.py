"""Any events come back from a file, and no file does more than raise TraceFileError."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

import pymmio
from pymmio.errors import PymmioError, TraceFileError
from pymmio.trace import (
    AccessEvent,
    DeviceFacts,
    DmaEvent,
    Event,
    FieldName,
    IrqEvent,
    LifeEvent,
    MemoryEvent,
    RegionFacts,
    RegisterName,
    RegisterNames,
)
from pymmio.trace.lines import LONGEST_DATA, header_line, line_of, names_line
from pymmio.trace.reading import read

WORD = st.integers(0, (1 << 64) - 1)
TIME = st.integers(-(1 << 63), (1 << 63) - 1)
THREAD = st.integers(0, 1 << 31)
NAME = st.text(max_size=20)


@st.composite
def accesses(draw: st.DrawFn) -> AccessEvent:
    width = draw(st.sampled_from([1, 2, 4, 8]))
    return AccessEvent(
        draw(TIME),
        draw(NAME),
        draw(st.sampled_from(["read", "write", "wait", "block", "poll"])),
        draw(st.integers(-(1 << 64), (1 << 64) - 1)),
        width,
        draw(st.none() | st.integers(0, (1 << 8 * width) - 1)),
        draw(WORD),
        draw(st.none() | NAME),
        draw(THREAD),
        draw(st.none() | st.integers(0, 255)),
        draw(WORD),
        draw(WORD),
        draw(st.integers(1, (1 << 64) - 1)),
    )


@st.composite
def maps(draw: st.DrawFn) -> DmaEvent:
    size = draw(st.integers(1, (1 << 64) - 1))
    iova = draw(st.integers(0, (1 << 64) - size)) & ((1 << 64) - 1)
    if iova + size > 1 << 64:
        iova = 0
    return DmaEvent(draw(TIME), draw(st.sampled_from(["map", "unmap"])), iova, size, draw(THREAD))


EVENTS: st.SearchStrategy[Event] = st.one_of(
    accesses(),
    maps(),
    st.builds(
        MemoryEvent,
        TIME,
        WORD,
        st.binary(max_size=200) | st.integers(0, LONGEST_DATA).map(bytes),
        THREAD,
    ),
    st.builds(
        IrqEvent,
        TIME,
        st.sampled_from(["irq-on", "irq-off", "irq", "unmask"]),
        st.sampled_from(["msix", "msi", "intx", "err", "req"]),
        st.integers(0, 65535),
        WORD,
        st.lists(st.integers(0, 65535), max_size=5).map(tuple),
        THREAD,
    ),
    st.builds(
        LifeEvent,
        TIME,
        st.sampled_from(["open", "close", "reset", "gone", "view"]),
        st.none() | NAME,
        THREAD,
    ),
)

NUMBERS = st.dictionaries(NAME, WORD, max_size=5)
FACTS = st.builds(
    DeviceFacts,
    NAME,
    NAME,
    NAME,
    NAME,
    NUMBERS,
    st.lists(
        st.builds(
            RegionFacts,
            st.integers(0, 255),
            NAME,
            st.integers(1, (1 << 64) - 1),
            *[st.booleans()] * 4,
        ),
        max_size=4,
    ).map(tuple),
    st.binary(max_size=64),
    NUMBERS,
    st.lists(st.tuples(WORD, WORD).map(sorted).map(tuple), max_size=3).map(tuple),
    st.integers(1, 1 << 40),
    WORD,
)

FIELDS = st.builds(
    lambda name, low, more, labels: FieldName(name, low, low + more, labels),
    NAME,
    st.integers(0, 100),
    st.integers(0, 100),
    st.lists(st.tuples(WORD, NAME), max_size=3).map(tuple),
)
REGISTERS = st.builds(
    RegisterName,
    NAME,
    WORD,
    st.integers(1, 64),
    st.lists(FIELDS, max_size=3).map(tuple),
    st.integers(1, (1 << 64) - 1),
    WORD,
    st.booleans(),
)


@given(FACTS, st.booleans(), st.lists(EVENTS, max_size=10), st.lists(REGISTERS, max_size=3))
def test_whatever_is_written_is_read_again(
    facts: DeviceFacts, is_recording: bool, events: list[Event], registers: list[RegisterName]
) -> None:
    known = facts.region_names()
    lines = [header_line(facts, recording=is_recording)]
    lines += [line_of(event, known) for event in events]
    lines.append(names_line(3, RegisterNames(registers)))
    found = read(io.BytesIO("".join(line + "\n" for line in lines).encode("ascii")), "file")
    assert found.device == facts
    assert found.is_recording is is_recording
    assert found.events == events
    assert found.names[3].registers == tuple(registers)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(EVENTS, st.data())
def test_a_line_with_anything_in_it_is_an_event_or_an_error(
    event: Event, data: st.DataObject
) -> None:
    fields = json.loads(line_of(event))
    for name in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=3)):
        fields[name] = data.draw(JSON)
    header = header_line(DeviceFacts("u", "n"), recording=True)
    check(f"{header}\n{json.dumps(fields)}\n".encode())


@given(st.lists(EVENTS, max_size=5), st.data())
def test_a_damaged_file_is_read_or_raises(events: list[Event], data: st.DataObject) -> None:
    facts = DeviceFacts("u", "n", regions=(RegionFacts(7, "config", 256),))
    lines = [header_line(facts, recording=True), *map(line_of, events)]
    content = bytearray("".join(line + "\n" for line in lines).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 50))]
                content = content or bytearray(b"\n")
            case _:
                content[at:at] = data.draw(st.binary(max_size=10))
    check(bytes(content))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_raise(content: bytes) -> None:
    check(content)


def check(content: bytes) -> None:
    """Read a file, open it as a device; the only thing that may happen is a PymmioError."""
    with suppress(TraceFileError):
        read(io.BytesIO(content), "file")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session.jsonl"
        path.write_bytes(content)
        for mode in ("strict", "tolerant"):
            with suppress(PymmioError), pymmio.open_device(f"sim:replay?file={path}&mode={mode}"):
                pass
