from __future__ import annotations

import pytest

from pymmio.dma import Budget, DmaSpace
from pymmio.errors import Closed, DmaError, Unsupported
from pymmio.handle import IovaRange
from pymmio.testing.fakes import FakeDma

from .conftest import unlimited


def make(dma: FakeDma) -> DmaSpace:
    return DmaSpace(dma, budget=Budget(facts=unlimited), name="fake")


def test_memory_goes_with_the_last_device(dma: FakeDma) -> None:
    space = make(dma)
    space.join()
    buf = space.alloc(4096)
    space.leave()
    assert buf.iova in dma.mappings
    space.leave()
    assert dma.mappings == {}
    assert space.closed
    with pytest.raises(Closed):
        _ = buf.iova


def test_leaving_once_more_does_nothing(dma: FakeDma) -> None:
    space = make(dma)
    space.leave()
    space.leave()
    assert space.closed


def test_a_space_that_nobody_uses_cannot_be_joined(dma: FakeDma) -> None:
    space = make(dma)
    space.leave()
    with pytest.raises(Closed):
        space.join()


def test_a_device_that_reaches_less_narrows_what_is_handed_out(dma: FakeDma) -> None:
    dma.iova_ranges = [IovaRange(0, 0xFFFF)]
    with make(dma) as space:
        first = space.alloc(0x1000)
        dma.iova_ranges = [IovaRange(0, 0x3FFF), IovaRange(0x8000, 0x8FFF)]
        space.join()
        rest = [space.alloc(0x1000).iova for _ in range(3)]
        assert [first.iova, *rest] == [0x1000, 0x2000, 0x3000, 0x8000]
        with pytest.raises(DmaError, match="no free I/O virtual addresses"):
            space.alloc(0x1000)
        first.close()
        assert space.alloc(0x1000).iova == 0x1000


def test_a_device_that_needs_larger_pages_is_refused_and_not_counted(dma: FakeDma) -> None:
    with make(dma) as space:
        dma.page_size = 0x10000
        with pytest.raises(Unsupported, match="65536"):
            space.join()
        assert space.users == 1
