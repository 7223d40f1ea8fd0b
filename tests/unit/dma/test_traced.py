"""DMA handles for traces: what is mapped is told, what the backend says stays true."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.dma import Budget, DmaSpace
from pymmio.dma.placed import PlacesMemory
from pymmio.dma.refused import RefusesDma
from pymmio.dma.shadow import traced_dma
from pymmio.dma.traced import TracedDma
from pymmio.errors import DmaError, PymmioError, Unsupported
from pymmio.handle import Iova
from pymmio.testing.fakes import FakeDma
from pymmio.trace import DmaEvent, EventRing, RecordingSink
from tests.unit.dma.conftest import unlimited


def test_maps_are_told() -> None:
    ring, fake = EventRing(), FakeDma()
    with DmaSpace(traced_dma(fake, ring), budget=Budget(facts=unlimited)) as space:
        buffer = space.alloc(5000)
        fake.device_write(buffer.iova, b"plain memory")
        assert bytes(buffer[:12]) == b"plain memory"
        iova = buffer.iova
        buffer.close()
    told = [(e.kind, e.iova, e.size) for e in ring.notes if isinstance(e, DmaEvent)]
    assert told == [("map", iova, 8192), ("unmap", iova, 8192)]


def test_a_map_that_fails_is_not_told() -> None:
    ring, fake = EventRing(), FakeDma()
    fake.fail_next("map", DmaError("no"))
    with DmaSpace(traced_dma(fake, ring), budget=Budget(facts=unlimited)) as space:
        with pytest.raises(DmaError):
            space.alloc(4096)
    assert not ring.notes


class Placing(FakeDma):
    """Memory at physical addresses."""

    def place(self, address: int, size: int) -> Iova:
        return Iova(0x100000)


class Refusing(FakeDma):
    """No memory at all."""

    def why_no_dma(self) -> PymmioError:
        return Unsupported("no IOMMU")


def test_what_a_backend_says_about_memory_stays_true(tmp_path: Path) -> None:
    ring = EventRing()
    assert not isinstance(traced_dma(FakeDma(), ring), PlacesMemory)
    placing = traced_dma(Placing(), ring)
    assert isinstance(placing, PlacesMemory)
    assert placing.place(0, 4096) == 0x100000
    assert isinstance(placing, TracedDma)
    assert not placing.translates
    assert isinstance(traced_dma(Refusing(), ring), RefusesDma)
    with RecordingSink(tmp_path / "session.jsonl") as sink:
        with pytest.raises(Unsupported, match="IOMMU"):
            traced_dma(Placing(), sink)


def test_a_trace_knows_the_limits_of_the_handle_behind_it() -> None:
    fake = FakeDma(page_size=65536, max_mappings=3, pins_memory=True)
    traced = traced_dma(fake, EventRing())
    assert (traced.page_size, traced.max_mappings, traced.pins_memory) == (65536, 3, True)
    assert traced.iova_ranges == fake.iova_ranges
