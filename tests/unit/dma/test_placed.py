"""Memory whose address follows from where it lies, with a pool of huge pages that is a fake."""

from __future__ import annotations

import mmap

import pytest

from pymmio.dma import Budget, DmaSpace, MemoryFacts
from pymmio.dma import space as space_module
from pymmio.dma.memory import SharedMemory
from pymmio.dma.placed import PlacesMemory
from pymmio.errors import BudgetExceeded, DmaError, IovaExhausted
from pymmio.handle import Iova
from pymmio.testing.fakes import FakeDma

HUGE = 16 * mmap.PAGESIZE


class PhysicalDma(FakeDma):
    """Memory lies where it lies: 1 TiB above its address in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.placed: list[tuple[int, int]] = []

    def place(self, address: int, size: int) -> Iova:
        self._log("place", address, size)
        self.placed.append((address, size))
        return Iova(address & (1 << 38) - 1)


@pytest.fixture
def dma(monkeypatch: pytest.MonkeyPatch) -> PhysicalDma:
    asked: list[bool] = []

    def small(size: int, *, hugepages: bool = False) -> SharedMemory:
        asked.append(hugepages)
        assert hugepages
        return SharedMemory(size)

    monkeypatch.setattr(space_module, "SharedMemory", small)
    return PhysicalDma()


def make(dma: FakeDma, free: int = 8) -> DmaSpace:
    facts = MemoryFacts(hugepage_size=HUGE, hugepages_free=free)
    return DmaSpace(dma, budget=Budget(facts=lambda: facts), name="fake")


def test_the_protocol_is_what_is_looked_for(dma: PhysicalDma) -> None:
    assert isinstance(dma, PlacesMemory)
    assert not isinstance(FakeDma(), PlacesMemory)


def test_the_address_is_the_place_and_memory_comes_in_huge_pages(dma: PhysicalDma) -> None:
    with make(dma) as space:
        buf = space.alloc(100)
        assert dma.placed == [(buf.address, HUGE)]
        assert buf.iova == buf.address & (1 << 38) - 1
        assert dma.called("map") == [("map", buf.iova, HUGE)]
        buf.close()
        assert dma.mappings == {}


def test_memory_that_cannot_be_placed_is_given_back(dma: PhysicalDma) -> None:
    with make(dma) as space:
        dma.fail_next("place", DmaError("not contiguous"))
        with pytest.raises(DmaError, match="contiguous"):
            space.alloc(100)
        assert space.mapped_bytes == 0
        space.alloc(100)


def test_a_place_that_does_not_fit_is_refused(dma: PhysicalDma) -> None:
    with make(dma) as space:
        with pytest.raises(IovaExhausted, match="an address of 20 bits"):
            space.alloc(100, address_bits=20)
        assert dma.called("map") == []


def test_an_empty_pool_says_how_to_fill_it(dma: PhysicalDma) -> None:
    with make(dma, free=0) as space, pytest.raises(BudgetExceeded, match=r"vm\.nr_hugepages"):
        space.alloc(100)
