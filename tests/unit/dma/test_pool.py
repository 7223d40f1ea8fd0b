from __future__ import annotations

import pytest

from pymmio.dma import DmaBuffer, DmaPool, DmaSpace
from pymmio.errors import BadArgument, BufferBusy, Closed, DmaError, IovaExhausted


@pytest.fixture
def buf(space: DmaSpace) -> DmaBuffer:
    return space.alloc(8192)


@pytest.fixture
def pool(buf: DmaBuffer) -> DmaPool:
    return DmaPool(buf)


def test_pieces_are_parts_of_the_buffer(pool: DmaPool, buf: DmaBuffer) -> None:
    first, second = pool.alloc(10), pool.alloc(64)
    assert (first.iova, len(first)) == (buf.iova, 10)
    assert (second.iova, len(second)) == (buf.iova + 64, 64)


def test_alignment_is_of_the_iova(space: DmaSpace) -> None:
    part = space.alloc(8192)[64:]
    pool = DmaPool(part)
    assert pool.alloc(64, align=4096).iova % 4096 == 0


def test_exhausted_says_what_is_left(pool: DmaPool) -> None:
    pool.alloc(4096)
    with pytest.raises(IovaExhausted, match="pool of 8192: 4096 are free, the largest") as caught:
        pool.alloc(4160)
    assert "4160 bytes" in str(caught.value)


def test_freed_pieces_can_be_had_again(pool: DmaPool) -> None:
    piece = pool.alloc(8192)
    pool.free(piece)
    assert piece.closed
    assert pool.free_bytes == 8192
    pool.alloc(8192)


def test_free_while_a_memoryview_exists_takes_nothing_back(pool: DmaPool) -> None:
    piece = pool.alloc(4096)
    view = memoryview(piece)
    with pytest.raises(BufferBusy):
        pool.free(piece)
    assert pool.free_bytes == 4096
    view.release()
    pool.free(piece)


def test_free_twice_raises(pool: DmaPool) -> None:
    piece = pool.alloc(64)
    pool.free(piece)
    with pytest.raises(Closed):
        pool.free(piece)


def test_free_of_something_else_raises(pool: DmaPool, buf: DmaBuffer, space: DmaSpace) -> None:
    pool.alloc(64)
    for other in (buf, buf[64:128], space.alloc(64)):
        with pytest.raises(DmaError, match="not a piece"):
            pool.free(other)
        assert not other.closed


def test_nonsense_is_refused(pool: DmaPool, buf: DmaBuffer) -> None:
    with pytest.raises(BadArgument):
        pool.alloc(0)
    with pytest.raises(BadArgument):
        pool.alloc(64, align=48)
    with pytest.raises(BadArgument):
        DmaPool(buf, granule=48)


def test_after_the_buffer_is_closed_nothing_is_taken(pool: DmaPool, buf: DmaBuffer) -> None:
    buf.close()
    with pytest.raises(Closed):
        pool.alloc(64)
    assert pool.free_bytes == 8192
