"""Targets on targets: each byte is where it belongs."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymmio.dax import (
    PAGE_SIZE,
    DaxDevice,
    Durability,
    Linear,
    LoggedWrite,
    LogWrites,
    PlainMemory,
    Stripe,
)
from pymmio.dax import replay as replay_log
from pymmio.errors import BadArgument, Misaligned, OutOfBounds, Unsupported


def device(pages: int) -> tuple[bytearray, DaxDevice]:
    backing = bytearray(pages * PAGE_SIZE)
    return backing, DaxDevice(PlainMemory(backing, name=f"m{pages}"))


def test_linear_moves_by_its_start() -> None:
    backing, below = device(4)
    part = Linear(below, PAGE_SIZE, 2 * PAGE_SIZE)
    part.write_from(10, b"x")
    assert backing[PAGE_SIZE + 10] == ord("x")
    with part.direct_access(1, 1) as view:
        view[0] = 7
    assert backing[2 * PAGE_SIZE] == 7
    part.zero(0, 1)
    assert backing[PAGE_SIZE : 2 * PAGE_SIZE] == bytes(PAGE_SIZE)
    with pytest.raises(OutOfBounds):
        part.write_from(2 * PAGE_SIZE, b"x")
    with pytest.raises(Misaligned):
        Linear(below, 512, PAGE_SIZE)


def test_a_stripe_takes_turns() -> None:
    (first, one), (second, two) = device(4), device(5)
    stripe = Stripe([one, two], chunk_pages=2)
    assert stripe.size == 8 * PAGE_SIZE
    stripe.write_from(0, b"".join(bytes([page]) * PAGE_SIZE for page in range(8)))
    assert [first[i * PAGE_SIZE] for i in range(4)] == [0, 1, 4, 5]
    assert [second[i * PAGE_SIZE] for i in range(4)] == [2, 3, 6, 7]
    with stripe.direct_access(2, 2) as view:
        assert view[0] == 2
    with pytest.raises(Unsupported, match="2 pieces"):
        stripe.direct_access(1, 2)
    with pytest.raises(BadArgument):
        Stripe([], 1)
    with pytest.raises(BadArgument, match="smaller chunks"):
        Stripe([one], 5)


@given(
    offset=st.integers(0, 12 * PAGE_SIZE - 1),
    size=st.integers(0, 4 * PAGE_SIZE),
    chunk=st.integers(1, 3),
)
def test_targets_stack(offset: int, size: int, chunk: int) -> None:
    log: list[LoggedWrite] = []
    parts = [device(8)[1] for _ in range(3)]
    stripe = Stripe([Linear(one, PAGE_SIZE, 6 * PAGE_SIZE) for one in parts], chunk)
    target = LogWrites(stripe, log.append)
    size = min(size, target.size - offset) if offset < target.size else 0
    offset = min(offset, target.size)
    data = os.urandom(size)
    target.write_from(offset, data)
    target.persist(offset, size)
    read = bytearray(size)
    stripe.read_into(offset, read)
    assert read == data
    backing, copy = device(stripe.size // PAGE_SIZE)
    assert replay_log(log, copy) == len(log) == 2
    assert backing[offset : offset + size] == data


def test_the_log_is_replayed_up_to_any_entry() -> None:
    log: list[LoggedWrite] = []
    target = LogWrites(device(2)[1], log.append)
    target.write_from(0, b"first")
    target.persist()
    target.write_from(0, b"again")
    target.zero(1, 1)
    assert [entry.data is None for entry in log] == [False, True, False, False]
    for count, expected in ((0, bytes(5)), (1, b"first"), (2, b"first"), (3, b"again")):
        backing, copy = device(2)
        replay_log(log, copy, count)
        assert backing[:5] == expected
    target.persist(PAGE_SIZE, 100)
    assert (log[1].offset, log[1].size) == (0, 2 * PAGE_SIZE)
    assert (log[4].offset, log[4].size) == (PAGE_SIZE, 100), "no more is durable"
    with pytest.raises(Unsupported, match="would not be logged"):
        target.direct_access(0, 1)


def test_a_range_in_many_pieces_is_one_flush_of_each_device() -> None:
    asked: list[tuple[str, int, int]] = []

    class Noting(DaxDevice):
        def persist(self, offset: int = 0, size: int | None = None) -> None:
            asked.append((self.memory.name, offset, size or 0))

    each = [
        Noting(PlainMemory(bytearray(8 * PAGE_SIZE), name=name, durability=Durability.NONE))
        for name in "ab"
    ]
    stripe = Stripe(each, 1)
    stripe.persist()
    assert asked == [("a", 0, 8 * PAGE_SIZE), ("b", 0, 8 * PAGE_SIZE)]
    asked.clear()
    stripe.persist(PAGE_SIZE + 10, 2 * PAGE_SIZE)  # b 0, a 1, b 1
    assert asked == [("b", 10, PAGE_SIZE), ("a", PAGE_SIZE, PAGE_SIZE)]
    asked.clear()
    stripe.persist(100, 0)
    assert asked == []
