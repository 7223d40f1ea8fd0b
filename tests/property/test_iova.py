"""The IOVA allocator against a model that keeps a set of pages."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from pymmio.dma.iova import IovaAllocator
from pymmio.errors import IovaExhausted
from pymmio.handle import Iova, IovaRange

PAGES = 64
TOP = 1 << 64

page_sizes = st.sampled_from([1, 64, 4096, 65536])
bases = st.sampled_from(["zero", "middle", "top"])
page_ranges = st.lists(
    st.tuples(st.integers(0, PAGES - 1), st.integers(1, 16)).map(
        lambda pair: (pair[0], min(PAGES, pair[0] + pair[1]))
    ),
    max_size=5,
)


class AllocatorMachine(RuleBasedStateMachine):
    """Addresses are pages counted from a base; the model is the set of free pages."""

    taken = Bundle("taken")

    @initialize(page_size=page_sizes, base=bases, ranges=page_ranges)
    def make(self, page_size: int, base: str, ranges: list[tuple[int, int]]) -> None:
        self.page_size = page_size
        self.base = {"zero": 0, "middle": 0xFEE00000, "top": TOP - PAGES * page_size}[base]
        self.free = {page for first, end in ranges for page in range(first, end)}
        self.sizes: dict[Iova, int] = {}
        self.iovas = IovaAllocator(
            [IovaRange(self.address(first), self.address(end) - 1) for first, end in ranges],
            page_size=page_size,
        )

    def address(self, page: int) -> int:
        return self.base + page * self.page_size

    def first_fit(self, pages: int, align: int, limit: int) -> int | None:
        for page in range(PAGES):
            if self.address(page) % align or self.address(page + pages) > limit:
                continue
            if self.free.issuperset(range(page, page + pages)):
                return page
        return None

    @rule(
        target=taken,
        pages=st.integers(1, 12),
        spare=st.integers(0, 1 << 20),
        align_shift=st.integers(0, 5),
        limit_page=st.one_of(st.none(), st.integers(1, PAGES)),
    )
    def allocate(
        self, pages: int, spare: int, align_shift: int, limit_page: int | None
    ) -> Iova | None:
        size = pages * self.page_size - spare % self.page_size
        align = self.page_size << align_shift
        limit = None if limit_page is None else self.address(limit_page)
        expected = self.first_fit(pages, align, TOP if limit is None else limit)
        try:
            iova = self.iovas.allocate(size, align=align, limit=limit)
        except IovaExhausted:
            assert expected is None
            return None
        assert expected is not None
        assert iova == self.address(expected)
        self.free -= set(range(expected, expected + pages))
        self.sizes[iova] = pages
        return iova

    @rule(iova=consumes(taken))
    def give_back(self, iova: Iova | None) -> None:
        if iova is None:
            return
        pages = self.sizes.pop(iova)
        assert self.iovas.free(iova) == pages * self.page_size
        first = (iova - self.base) // self.page_size
        self.free |= set(range(first, first + pages))

    @invariant()
    def free_ranges_are_the_free_pages_and_merged(self) -> None:
        if not hasattr(self, "iovas"):
            return
        ranges = self.iovas.free_ranges
        covered = [
            (address - self.base) // self.page_size
            for r in ranges
            for address in range(r.first, r.last + 1, self.page_size)
        ]
        assert covered == sorted(self.free)
        assert all(a.last + 1 < b.first for a, b in itertools.pairwise(ranges))
        assert self.iovas.free_bytes == len(self.free) * self.page_size
        largest = max((r.last + 1 - r.first for r in ranges), default=0)
        assert self.iovas.largest_free == largest


TestAllocator = AllocatorMachine.TestCase
