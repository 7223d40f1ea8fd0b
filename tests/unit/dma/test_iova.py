from __future__ import annotations

import pytest

from pymmio.dma.iova import IovaAllocator
from pymmio.errors import BadArgument, DmaError, IovaExhausted
from pymmio.handle import IovaRange

PAGE = 0x1000


def allocator(*ranges: tuple[int, int], page_size: int = PAGE) -> IovaAllocator:
    return IovaAllocator([IovaRange(*r) for r in ranges], page_size=page_size)


def test_first_fit_from_the_low_end() -> None:
    iovas = allocator((0x10000, 0x1FFFF))
    assert iovas.allocate(PAGE) == 0x10000
    assert iovas.allocate(1) == 0x11000
    assert iovas.allocate(PAGE + 1) == 0x12000
    assert iovas.allocate(PAGE) == 0x14000


def test_skips_a_gap_between_ranges() -> None:
    # The MSI window of x86 is such a gap.
    iovas = allocator((0xFEDFF000, 0xFEDFFFFF), (0xFEF00000, 0xFEFFFFFF))
    assert iovas.allocate(2 * PAGE) == 0xFEF00000
    assert iovas.allocate(PAGE) == 0xFEDFF000


def test_ranges_in_any_order_touching_or_overlapping_are_one() -> None:
    iovas = allocator((0x3000, 0x4FFF), (0x1000, 0x2FFF), (0x4000, 0x5FFF))
    assert iovas.free_ranges == (IovaRange(0x1000, 0x5FFF),)
    assert iovas.allocate(0x5000) == 0x1000


def test_parts_of_pages_are_not_used() -> None:
    assert allocator((0x1001, 0x3FFE)).free_ranges == (IovaRange(0x2000, 0x2FFF),)
    assert allocator((0x1001, 0x1FFE)).free_ranges == ()


def test_a_page_in_two_touching_ranges_is_whole() -> None:
    assert allocator((0x1000, 0x17FF), (0x1800, 0x1FFF)).free_bytes == PAGE


def test_the_last_address_of_64_bits_is_usable() -> None:
    iovas = allocator((2**64 - PAGE, 2**64 - 1))
    assert iovas.allocate(PAGE) == 2**64 - PAGE


def test_alignment_counts_from_address_zero() -> None:
    iovas = allocator((0x3000, 0xFFFFF))
    assert iovas.allocate(PAGE, align=0x10000) == 0x10000
    assert iovas.allocate(PAGE) == 0x3000


def test_alignment_below_a_page_is_a_page() -> None:
    iovas = allocator((0x1000, 0x3FFF))
    iovas.allocate(1)
    assert iovas.allocate(1, align=8) == 0x2000


def test_limit_is_the_first_address_that_is_not_used() -> None:
    iovas = allocator((0x1000, 0xFFFFF))
    assert iovas.allocate(PAGE, limit=0x2000) == 0x1000
    with pytest.raises(IovaExhausted, match="below 0x2fff"):
        iovas.allocate(PAGE, limit=0x2FFF)


def test_freed_ranges_merge_with_both_neighbours() -> None:
    iovas = allocator((0x1000, 0x3FFF))
    first, middle, last = (iovas.allocate(PAGE) for _ in range(3))
    assert iovas.largest_free == 0
    assert [iovas.free(iova) for iova in (first, last, middle)] == [PAGE] * 3
    assert iovas.free_ranges == (IovaRange(0x1000, 0x3FFF),)


def test_exhausted_says_what_was_asked_and_what_is_left() -> None:
    iovas = allocator((0x1000, 0x4FFF))
    iovas.allocate(PAGE)
    hole = iovas.allocate(PAGE)
    iovas.allocate(PAGE)
    iovas.free(hole)
    with pytest.raises(IovaExhausted) as caught:
        iovas.allocate(2 * PAGE)
    assert "0x2000 bytes aligned to 0x1000" in str(caught.value)
    assert "0x2000 bytes are free" in str(caught.value)
    assert "largest free range has 0x1000" in str(caught.value)


def test_free_twice_raises_and_changes_nothing() -> None:
    iovas = allocator((0x1000, 0x4FFF))
    iova = iovas.allocate(PAGE)
    iovas.free(iova)
    with pytest.raises(DmaError, match="0x1000"):
        iovas.free(iova)
    assert iovas.free_bytes == 0x4000


def test_free_of_the_middle_of_a_range_raises() -> None:
    iovas = allocator((0x1000, 0x4FFF))
    iova = iovas.allocate(2 * PAGE)
    with pytest.raises(DmaError):
        iovas.free(type(iova)(iova + PAGE))
    assert iovas.is_taken(iova)


@pytest.mark.parametrize(
    ("size", "align"), [(0, None), (-PAGE, None), (PAGE, 0), (PAGE, 0x3000), (PAGE, -PAGE)]
)
def test_nonsense_is_refused(size: int, align: int | None) -> None:
    with pytest.raises(BadArgument):
        allocator((0x1000, 0x4FFF)).allocate(size, align=align)


@pytest.mark.parametrize("bad", [(0x2000, 0x1000), (-1, 0x1000)])
def test_a_range_that_is_none_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(BadArgument, match="range"):
        allocator(bad)


def test_page_size_must_be_a_power_of_two() -> None:
    with pytest.raises(BadArgument, match="3000"):
        allocator((0, 0xFFFF), page_size=3000)


def test_restricting_leaves_what_is_taken_and_hands_out_the_rest() -> None:
    iovas = IovaAllocator([IovaRange(0, 0x7FFF)], page_size=0x1000)
    taken = iovas.allocate(0x1000)
    iovas.restrict([IovaRange(0, 0x1FFF), IovaRange(0x4000, 0x4FFF), IovaRange(0x9000, 0x9FFF)])
    assert iovas.free_ranges == (IovaRange(0x1000, 0x1FFF), IovaRange(0x4000, 0x4FFF))
    iovas.free(taken)
    assert iovas.free_ranges == (IovaRange(0, 0x1FFF), IovaRange(0x4000, 0x4FFF))
