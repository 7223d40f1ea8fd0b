"""A DmaSpace under any sequence of calls, with failures, against the fake IOMMU."""

from __future__ import annotations

import mmap

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from pymmio.dma import Budget, DmaBuffer, DmaSpace, MemoryFacts
from pymmio.errors import BufferBusy, DmaError, IovaExhausted, MappingLimit
from pymmio.handle import IovaRange
from pymmio.testing.fakes import FakeDma
from tests.examples import examples

PAGE = mmap.PAGESIZE
LIMIT = 5


class SpaceMachine(RuleBasedStateMachine):
    """Every open buffer is mapped, nothing else is, and the device sees the program's bytes."""

    buffers = Bundle("buffers")
    exports = Bundle("exports")

    def __init__(self) -> None:
        super().__init__()
        self.dma = FakeDma([IovaRange(0, 24 * PAGE - 1)], max_mappings=LIMIT)
        self.space = DmaSpace(self.dma, budget=Budget(facts=MemoryFacts))
        self.open: dict[DmaBuffer, bytes] = {}
        self.holds: dict[DmaBuffer, int] = {}
        self.views: list[tuple[DmaBuffer, memoryview]] = []
        self.stamp = 0

    @rule(target=buffers, size=st.integers(1, 6 * PAGE), shift=st.integers(0, 3))
    def alloc(self, size: int, shift: int) -> object:
        before = set(self.dma.mappings)
        try:
            buf = self.space.alloc(size, align=PAGE << shift)
        except MappingLimit:
            assert len(self.open) == LIMIT
            return multiple()
        except IovaExhausted:
            assert set(self.dma.mappings) == before
            return multiple()
        assert buf.iova % (PAGE << shift) == 0
        self.stamp += 1
        content = self.stamp.to_bytes(4, "little") * (size // 4)
        if content:
            with memoryview(buf) as view:
                view[: len(content)] = content
        self.open[buf] = content
        self.holds[buf] = 0
        return buf

    @rule(size=st.integers(1, 2 * PAGE))
    def alloc_that_the_backend_refuses(self, size: int) -> None:
        if len(self.open) == LIMIT:
            return
        before = self.space.mapped_bytes
        self.dma.fail_next("map", DmaError("injected"))
        with pytest.raises(DmaError):
            self.space.alloc(size)
        self.dma._failures.clear()
        assert self.space.mapped_bytes == before

    @rule(buf=buffers)
    def hold(self, buf: DmaBuffer) -> None:
        if buf in self.open:
            buf.hold()
            self.holds[buf] += 1

    @rule(buf=buffers)
    def release(self, buf: DmaBuffer) -> None:
        if self.holds[buf]:
            buf.release()
            self.holds[buf] -= 1
        else:
            with pytest.raises(DmaError):
                buf.release()

    @rule(buf=buffers, data=st.data())
    def export_a_part(self, buf: DmaBuffer, data: st.DataObject) -> None:
        if buf not in self.open:
            return
        start = data.draw(st.integers(0, len(buf) - 1))
        stop = data.draw(st.integers(start + 1, len(buf)))
        part = buf[start:stop]
        assert part.iova == buf.iova + start
        view = memoryview(part)
        assert bytes(view) == self.dma.device_read(part.iova, stop - start)
        self.views.append((buf, view))

    @rule()
    def release_an_export(self) -> None:
        if self.views:
            self.views.pop()[1].release()

    @rule(buf=buffers)
    def close(self, buf: DmaBuffer) -> None:
        is_busy = bool(self.holds[buf]) or any(owner is buf for owner, _ in self.views)
        if buf in self.open and is_busy:
            with pytest.raises(BufferBusy):
                buf.close()
            assert not buf.closed
        else:
            buf.close()
            assert buf.closed
            self.open.pop(buf, None)

    @invariant()
    def device_reaches_the_open_buffers_and_nothing_else(self) -> None:
        assert set(self.dma.mappings) == {buf.iova for buf in self.open}
        for buf, content in self.open.items():
            assert self.dma.device_read(buf.iova, len(content)) == content

    def teardown(self) -> None:
        self.space.close()
        assert self.dma.mappings == {}
        for _, view in self.views:
            view[0] = 0  # still memory of this process
            view.release()


SpaceMachine.TestCase.settings = examples(60)
TestSpace = SpaceMachine.TestCase
