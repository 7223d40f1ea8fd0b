"""DMA handles for traces: what is mapped is told, and a recording knows who wrote what."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.dma import Budget, DmaSpace
from pymmio.dma.shadow import ShadowedDma
from pymmio.errors import BudgetExceeded, DmaError
from pymmio.testing.fakes import FakeDma
from pymmio.trace import MemoryEvent, RecordingSink
from pymmio.trace.reading import read
from tests.unit.dma.conftest import Footprint, unlimited
from tests.unit.trace.events import FACTS, access

DEADLINE_S = 60.0


class Recorded:
    """A fake device behind a recording; ``access`` is one of the program's."""

    def __init__(self, path: Path, **options: int) -> None:
        self.path = path
        self.fake = FakeDma()
        self.sink = RecordingSink(path, **options)
        self.sink.begin(FACTS)
        self.handle = ShadowedDma(self.fake, self.sink)
        self.space = DmaSpace(self.handle, budget=Budget(facts=unlimited))

    def access(self) -> None:
        with self.sink.around():
            self.sink.after(access("write", 0, 0))

    def memory(self) -> list[tuple[int, bytes]]:
        with self.path.open("rb") as file:
            events = read(file, "recording").events
        return [(e.iova, e.data) for e in events if isinstance(e, MemoryEvent)]


@pytest.fixture
def recorded(tmp_path: Path, footprint: Footprint) -> Iterator[Recorded]:
    before, threads = footprint(), threading.active_count()
    one = Recorded(tmp_path / "session.jsonl", memory_limit=1 << 20)
    yield one
    one.space.close()
    one.handle.close()
    one.sink.close()
    assert one.fake.mappings == {}
    assert (footprint(), threading.active_count()) == (before, threads)


def test_the_device_sees_what_was_written_before_an_access(recorded: Recorded) -> None:
    buffer = recorded.space.alloc(8192)
    memoryview(buffer)[4090:4100] = b"across two"
    recorded.access()
    assert recorded.fake.device_read(buffer.iova + 4090, 10) == b"across two"
    assert recorded.memory() == []


def test_the_program_sees_what_the_device_wrote_after_an_access(recorded: Recorded) -> None:
    buffer = recorded.space.alloc(8192)
    with recorded.sink.around():
        recorded.fake.device_write(buffer.iova + 4090, b"from there")
        recorded.sink.after(access("read", 0, 0))
    assert bytes(buffer[4090:4100]) == b"from there"
    assert recorded.memory() == [(buffer.iova + 4090, b"from there")]


def test_both_may_write_neighbouring_bytes(recorded: Recorded) -> None:
    buffer = recorded.space.alloc(4096)
    view = memoryview(buffer)
    view[:16] = b"................"
    recorded.access()
    with recorded.sink.around():
        recorded.fake.device_write(buffer.iova, b"D")
        recorded.fake.device_write(buffer.iova + 4, b"D")
        view[2:3] = b"P"  # another thread, at the same time
        recorded.sink.after(access("read", 0, 0))
    assert bytes(view[:6]) == b"D.P.D."
    recorded.access()
    assert recorded.fake.device_read(buffer.iova, 6) == b"D.P.D."
    assert len(recorded.memory()) == 1


def test_a_program_that_polls_memory_sees_it_soon(recorded: Recorded) -> None:
    buffer = recorded.space.alloc(4096)
    recorded.fake.device_write(buffer.iova + 100, b"done")
    end = time.monotonic() + DEADLINE_S
    while bytes(buffer[100:104]) != b"done":
        assert time.monotonic() < end
    with recorded.sink.lock:  # whoever brought it has written it down, too
        assert recorded.memory() == [(buffer.iova + 100, b"done")]


def test_what_was_written_until_the_memory_is_taken_away_comes_back(recorded: Recorded) -> None:
    buffer = recorded.space.alloc(4096)
    iova = buffer.iova
    with recorded.sink.lock:
        recorded.fake.device_write(iova, b"last words")
        buffer.close()
    assert recorded.memory() == [(iova, b"last words")]


def test_too_much_memory_is_refused_with_what_to_do(recorded: Recorded) -> None:
    recorded.space.alloc(1 << 19)
    with pytest.raises(BudgetExceeded, match="memory_limit"):
        recorded.space.alloc((1 << 19) + 4096)


def test_a_shadow_that_cannot_be_mapped_leaves_nothing(recorded: Recorded) -> None:
    recorded.fake.fail_next("map", DmaError("no"))
    with pytest.raises(DmaError):
        recorded.space.alloc(4096)
    assert recorded.space.mapped_bytes == 0


def test_a_map_that_cannot_be_taken_away_stays(recorded: Recorded) -> None:
    buffer = recorded.space.alloc(4096)
    recorded.fake.fail_next("unmap", DmaError("busy"))
    with pytest.raises(DmaError):
        buffer.close()
    buffer.close()
