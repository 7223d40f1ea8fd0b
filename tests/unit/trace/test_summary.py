"""A trace in numbers."""

from __future__ import annotations

from pymmio.trace import RegisterNames
from pymmio.trace.summary import summarise
from tests.unit.trace.events import STORY, access


def test_a_story_is_counted() -> None:
    total = summarise(STORY, {0: RegisterNames.of({0x1C: "CSTS"})})
    assert total.events == len(STORY)
    assert total.duration_ns == 9499
    assert total.threads == 2
    assert total.kinds["read"] == 2
    assert total.interrupts == {"msix[3]": 2}
    assert total.memory_bytes == 1003
    assert total.mapped_bytes == 0x2000
    status, other, broken = total.registers
    assert (status.name, status.reads, status.writes, status.time_ns) == ("CSTS", 13, 0, 20)
    assert (other.offset, other.writes) == (0x20, 1)
    assert (broken.errors, broken.reads) == (1, 0)


def test_windows_of_a_register_are_one() -> None:
    whole = access("read", 0x1C, 1)
    part = access("read", 0x0C, 1, base=0x10)
    assert len(summarise([whole, part]).registers) == 1


def test_nothing_is_nothing() -> None:
    assert summarise([]).as_dict()["events"] == 0


def test_it_is_ready_for_json() -> None:
    shown = summarise(STORY).as_dict()
    assert shown["registers"][0]["distinct_values"] == 2  # type: ignore[index]
