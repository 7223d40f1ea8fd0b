"""The file format: every event comes back, and what is wrong is told with its line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from pymmio.errors import TraceFileError
from pymmio.trace import FieldName, RegisterName, RegisterNames
from pymmio.trace.lines import LONGEST_LINE, header_line, line_of, names_line
from pymmio.trace.reading import read
from tests.unit.trace.events import FACTS, STORY, access

HEADER = header_line(FACTS, recording=True)
END = '{"kind": "end", "lost": 0}'


def file_of(*lines: str, ending: str = "\n") -> io.BytesIO:
    return io.BytesIO(("\n".join(lines) + ending).encode())


def test_a_story_comes_back() -> None:
    names = FACTS.region_names()
    lines = [line_of(event, names) for event in STORY]
    found = read(file_of(HEADER, *lines, END), "file")
    assert found.device == FACTS
    assert found.is_recording
    assert found.events == STORY
    assert found.lines == list(range(2, len(STORY) + 2))
    assert found.is_complete


def test_the_name_of_a_whole_region_is_not_repeated() -> None:
    assert "sim:thing" not in line_of(access("read", 0, 0), FACTS.region_names())
    assert "sim:thing" in line_of(access("read", 0, 0))


def test_values_are_text_in_hexadecimal() -> None:
    fields = json.loads(line_of(access("read", 0x1C, 255)))
    assert (fields["value"], fields["offset"], fields["kind"]) == ("0xff", 0x1C, "read")


def test_long_memory_is_packed() -> None:
    line = line_of(STORY[7])
    assert len(line) < 200
    assert "packed" in line


def test_names_come_back_and_add_up() -> None:
    first = RegisterNames(
        [RegisterName("CSTS", 0x1C, 4, (FieldName("rdy", 0, 0), FieldName("s", 2, 3, ((1, "A"),))))]
    )
    second = RegisterNames([RegisterName("DBL", 0x1000, 4, (), 8, 8, True)])
    found = read(file_of(HEADER, names_line(0, first), names_line(0, second)), "file")
    assert found.names[0].registers == (*first.registers, *second.registers)
    assert not found.is_complete


def test_a_last_line_without_its_end_is_left_out() -> None:
    line = line_of(STORY[1])
    found = read(file_of(HEADER, line, line[:20], ending=""), "file")
    assert len(found.events) == 1


def changed(line: str, **fields: Any) -> str:
    return json.dumps({**json.loads(line), **fields})


READ = line_of(STORY[1], FACTS.region_names())
MAP, MEMORY, PACKED, IRQ_ON, IRQ, LIFE = (line_of(STORY[at]) for at in (5, 6, 7, 8, 9, 0))
NAMES = names_line(0, RegisterNames([RegisterName("A", 0, 4, (FieldName("f", 0, 1),))]))

WRONG = [
    "",
    "[]",
    "{",
    "nothing",
    "[" * 100_000,
    '{"kind": "read"}',
    changed(READ, kind="peek"),
    changed(READ, kind=["read"]),
    changed(READ, time_ns="soon"),
    changed(READ, time_ns=1.5),
    changed(READ, time_ns=True),
    changed(READ, time_ns=1 << 70),
    changed(READ, thread=-1),
    changed(READ, width=3),
    changed(READ, value="0x100000000"),
    changed(READ, value="-0x1"),
    changed(READ, value="0x_1"),
    changed(READ, value=1),
    changed(READ, count=0),
    changed(READ, offset="0"),
    changed(READ, index=256),
    changed(READ, index=3),
    changed(READ, region=7),
    changed(READ, error=3),
    changed(MAP, iova="0xffffffffffffffff", size=2),
    changed(MAP, size=0),
    changed(MAP, size=-4096),
    changed(MEMORY, data="xy"),
    changed(MEMORY, data=None),
    changed(PACKED, packed="****"),
    changed(PACKED, packed="aGVsbG8="),
    changed(PACKED, size=999),
    changed(PACKED, size=1 << 40),
    changed(IRQ_ON, without=["x"]),
    changed(IRQ_ON, without=7),
    changed(IRQ, vector=1 << 16),
    changed(IRQ, irq=None),
    changed(LIFE, kind="birth"),
    changed(NAMES, index=-1),
    changed(NAMES, registers={}),
    changed(NAMES, registers=[7]),
    changed(NAMES, registers=[{"name": "A"}]),
    '{"kind": "end", "lost": -1}',
    '{"kind": "end"}',
]


@pytest.mark.parametrize(
    "line", [pytest.param(one, id=one[:70] or "empty") for one in WRONG if one]
)
def test_a_wrong_line_is_told_by_its_number(line: str) -> None:
    with pytest.raises(TraceFileError, match=r"^name, line 3: ") as raised:
        read(file_of(HEADER, READ, line, READ), "name")
    assert raised.value.line == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"pymmio": "file"},
        {"version": 2},
        {"version": None},
        {"recording": 1},
        {"device": None},
        *(
            {"device": {**json.loads(HEADER)["device"], **wrong}}
            for wrong in (
                {"uri": 7},
                {"ids": {"vendor_id": -1}},
                {"ids": []},
                {"regions": [{"index": 0}]},
                {"regions": [3]},
                {"config": "abc"},
                {"irqs": {"msi": "all"}},
                {"iova_ranges": [["0x2", "0x1"]]},
                {"iova_ranges": [[1]]},
                {"page_size": 0},
            )
        ),
    ],
)
def test_a_wrong_header_is_told(fields: dict[str, object]) -> None:
    with pytest.raises(TraceFileError, match=r"^name, line 1: "):
        read(file_of(changed(HEADER, **fields)), "name")


def test_an_empty_file_is_no_trace() -> None:
    with pytest.raises(TraceFileError, match="is empty"):
        read(io.BytesIO(), "name")


def test_a_line_without_end_is_not_read_into_memory() -> None:
    endless = io.BytesIO(HEADER.encode() + b"\n" + b"x" * (LONGEST_LINE + 2))
    with pytest.raises(TraceFileError, match="line 2: longer than"):
        read(endless, "name")


def test_nothing_stands_behind_the_end() -> None:
    with pytest.raises(TraceFileError, match="line 3: something stands behind the end"):
        read(file_of(HEADER, END, READ), "name")


def test_packed_memory_cannot_be_larger_than_it_says() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(1 << 20))).decode()
    with pytest.raises(TraceFileError, match="should hold 16 bytes"):
        read(file_of(HEADER, changed(PACKED, packed=bomb, size=16)), "name")
