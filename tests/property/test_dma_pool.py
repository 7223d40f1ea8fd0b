"""A DmaPool never hands out the same byte twice, and gets everything back."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from pymmio.dma import Budget, DmaBuffer, DmaPool, DmaSpace, MemoryFacts
from pymmio.errors import IovaExhausted
from pymmio.testing.fakes import FakeDma
from tests.examples import examples

SIZE = 16384


class PoolMachine(RuleBasedStateMachine):
    pieces = Bundle("pieces")

    def __init__(self) -> None:
        super().__init__()
        self.space = DmaSpace(FakeDma(), budget=Budget(facts=MemoryFacts))
        self.buffer = self.space.alloc(SIZE)
        self.pool = DmaPool(self.buffer, granule=16)
        self.live: dict[int, DmaBuffer] = {}

    @rule(target=pieces, size=st.integers(1, 5000), shift=st.integers(0, 12))
    def alloc(self, size: int, shift: int) -> object:
        try:
            piece = self.pool.alloc(size, align=1 << shift)
        except IovaExhausted:
            assert size + (1 << shift) > self.pool._free.largest_free
            return multiple()
        assert piece.iova % (1 << shift) == 0
        assert len(piece) == size
        self.live[piece.iova] = piece
        return piece

    @rule(piece=consumes(pieces))
    def free(self, piece: DmaBuffer) -> None:
        del self.live[piece.iova]
        self.pool.free(piece)

    @invariant()
    def pieces_lie_in_the_buffer_and_do_not_overlap(self) -> None:
        end = self.buffer.iova
        for iova, piece in sorted(self.live.items()):
            assert iova >= end
            end = iova + len(piece)
        assert end <= self.buffer.iova + SIZE
        used = sum(-(-len(piece) // 16) * 16 for piece in self.live.values())
        assert self.pool.free_bytes == SIZE - used

    def teardown(self) -> None:
        for piece in self.live.values():
            self.pool.free(piece)
        assert self.pool.alloc(SIZE).iova == self.buffer.iova
        self.space.close()


PoolMachine.TestCase.settings = examples(60)
TestPool = PoolMachine.TestCase
