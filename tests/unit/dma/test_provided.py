"""Buffers that are pieces of memory that the backend has already."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator

import pytest

from pymmio.dma import Budget, DmaSpace, MemoryFacts
from pymmio.dma.provided import ProvidesMemory
from pymmio.errors import DmaError
from pymmio.handle import Iova, IovaRange
from pymmio.testing.fakes import FakeDma
from tests.unit.dma.conftest import Footprint

PAGE = mmap.PAGESIZE
SIZE = 16 * PAGE


class OneFile(FakeDma):
    """A device that reaches one file; an iova is the offset in it."""

    def __init__(self) -> None:
        super().__init__((IovaRange(0, SIZE - 1),), page_size=PAGE)
        self.file = os.memfd_create("pymmio-dma-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.file, SIZE)
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)

    def memory_at(self, iova: Iova, size: int) -> tuple[int, int]:
        self._log("memory_at", iova, size)
        os.pwrite(self.file, bytes(size), iova)
        return self.file, iova

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        assert os.fstat(fd).st_ino == os.fstat(self.file).st_ino
        assert fd_offset == iova
        super().map(iova, size, address=address, fd=fd, fd_offset=fd_offset)


@pytest.fixture
def dma() -> Iterator[OneFile]:
    dma = OneFile()
    yield dma
    os.close(dma.file)


@pytest.fixture
def space(dma: OneFile) -> Iterator[DmaSpace]:
    with DmaSpace(dma, budget=Budget(facts=MemoryFacts), name="fake") as space:
        yield space


def test_the_protocol_is_what_is_looked_for(dma: OneFile) -> None:
    assert isinstance(dma, ProvidesMemory)
    assert not isinstance(FakeDma(), ProvidesMemory)


def test_a_buffer_is_the_piece_at_its_address_by_each_way(dma: OneFile, space: DmaSpace) -> None:
    with space.alloc(PAGE), space.alloc(PAGE) as buf:
        assert buf.iova != PAGE
        with memoryview(buf) as view:
            view[:4] = b"view"
        assert os.pread(dma.file, 4, buf.iova) == b"view"
        assert os.pread(buf.fd, 4, buf.fd_offset) == b"view"
        part = buf[2:8]
        assert os.pread(part.fd, 2, part.fd_offset) == b"ew"
        assert dma.device_read(part.iova, 2) == b"ew"
        part.close()


def test_memory_is_used_again_and_zero_then(dma: OneFile, space: DmaSpace) -> None:
    with space.alloc(PAGE) as buf, memoryview(buf) as view:
        iova = buf.iova
        view[:] = b"\xff" * PAGE
    with space.alloc(PAGE) as buf:
        assert buf.iova == iova
        assert bytes(buf) == bytes(PAGE)


@pytest.mark.parametrize("step", ["memory_at", "map"])
def test_a_failure_leaves_nothing(
    dma: OneFile, space: DmaSpace, footprint: Footprint, step: str
) -> None:
    before = footprint()
    dma.fail_next(step, DmaError("injected"))
    with pytest.raises(DmaError, match="injected"):
        space.alloc(PAGE)
    assert footprint() == before
    assert not space.mapped_bytes
    with space.alloc(SIZE - PAGE):  # all addresses are free again, but for the page at 0
        pass


def test_huge_pages_are_what_the_backend_has(dma: OneFile) -> None:
    facts = MemoryFacts(hugepage_size=PAGE, hugepages_free=4)
    with DmaSpace(dma, budget=Budget(facts=lambda: facts), name="fake") as space:
        with space.alloc(1, hugepages=True) as buf:
            assert dma.called("memory_at") == [("memory_at", buf.iova, PAGE)]
