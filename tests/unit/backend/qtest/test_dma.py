from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from pymmio.backend.qtest.dma import QtestDma
from pymmio.backend.qtest.machine.iommu import Iommu
from pymmio.backend.qtest.machine.layout import RamPlan
from pymmio.backend.qtest.machine.memory import Ram
from pymmio.dma import DmaSpace
from pymmio.dma.memory import SharedMemory
from pymmio.errors import DeviceGone, DmaError, ForkedObject
from pymmio.handle import Iova
from tests.children import in_forked_child

MIB = 1 << 20
PAGE = mmap.PAGESIZE
FIRST = MIB


class FakeIommu:
    """Which pages the device reaches."""

    def __init__(self) -> None:
        self.allowed: set[int] = set()
        self.is_gone = False

    def allow(self, address: int, size: int) -> None:
        self.allowed |= set(range(address, address + size, PAGE))

    def forbid(self, address: int, size: int) -> None:
        if self.is_gone:
            raise DeviceGone("QEMU is gone")
        self.allowed -= set(range(address, address + size, PAGE))


class Rig:
    def __init__(self) -> None:
        self.ram = Ram(16 * MIB)
        self.iommu = FakeIommu()
        plan = RamPlan(16 * MIB, has_iommu=True)
        iommu: Iommu = self.iommu  # type: ignore[assignment]
        self.dma = QtestDma("rig", self.ram, plan, iommu)

    def map(self, memory: SharedMemory, iova: int) -> None:
        self.dma.map(
            Iova(iova), memory.size, address=memory.address, fd=memory.fd, fd_offset=memory.offset
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.dma.close()


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    memory = SharedMemory(2 * PAGE)
    yield memory
    memory.close()


def test_buffers_are_ram_and_reachable_while_they_are_open(rig: Rig) -> None:
    with DmaSpace(rig.dma, name="rig") as space:
        buf = space.alloc(3 * PAGE)
        with memoryview(buf) as view:
            view[:3] = b"abc"
        assert bytes(rig.ram.view[buf.iova : buf.iova + 3]) == b"abc"
        assert rig.iommu.allowed == {buf.iova, buf.iova + PAGE, buf.iova + 2 * PAGE}
        assert os.pread(buf.fd, 3, buf.fd_offset) == b"abc"
        former = buf.iova
        buf.close()
        assert not rig.iommu.allowed
        with space.alloc(3 * PAGE) as again:
            assert again.iova == former
            assert not any(again_view := bytes(again)), again_view[:8]


def test_other_memory_becomes_ram_and_comes_back(rig: Rig, memory: SharedMemory) -> None:
    with memory.view() as view:
        view[:3] = b"abc"
        rig.map(memory, FIRST)
        assert bytes(rig.ram.view[FIRST : FIRST + 3]) == b"abc"
        rig.ram.view[FIRST + 1] = 0x78
        assert bytes(view[:3]) == b"axc"
        assert rig.iommu.allowed == {FIRST, FIRST + PAGE}
        rig.dma.unmap(Iova(FIRST), 2 * PAGE)
        assert bytes(view[:3]) == b"axc"
        assert os.pread(memory.fd, 3, 0) == b"axc"
        assert not rig.iommu.allowed


@pytest.mark.parametrize(
    ("iova", "said"),
    [
        (FIRST + 1, "whole pages"),
        (0, "ram=4G"),
        (1 << 40, "not RAM"),
        (16 * MIB - 2 * PAGE, "not RAM"),
    ],
)
def test_addresses_that_are_not_usable_are_refused(
    rig: Rig, memory: SharedMemory, iova: int, said: str
) -> None:
    with pytest.raises(DmaError, match=said):
        rig.map(memory, iova)
    assert not rig.iommu.allowed


def test_mappings_do_not_overlap_in_either_space(rig: Rig, memory: SharedMemory) -> None:
    rig.map(memory, FIRST + 4 * PAGE)
    other = SharedMemory(2 * PAGE)
    for iova in (FIRST + 3 * PAGE, FIRST + 4 * PAGE, FIRST + 5 * PAGE):
        with pytest.raises(DmaError, match="overlap"):
            rig.map(other, iova)
        with pytest.raises(DmaError, match="overlap"):
            rig.dma.memory_at(Iova(iova), 2 * PAGE)
    with pytest.raises(DmaError, match="mapped already"):
        rig.map(memory, FIRST)
    rig.map(other, FIRST + 2 * PAGE)
    rig.dma.unmap(Iova(FIRST + 2 * PAGE), 2 * PAGE)
    rig.dma.unmap(Iova(FIRST + 4 * PAGE), 2 * PAGE)
    other.close()


def test_only_whole_mappings_are_unmapped(rig: Rig, memory: SharedMemory) -> None:
    rig.map(memory, FIRST)
    for iova, size in ((FIRST, PAGE), (FIRST + PAGE, PAGE), (FIRST + 8 * PAGE, PAGE)):
        with pytest.raises(DmaError, match="no mapping"):
            rig.dma.unmap(Iova(iova), size)
    rig.dma.unmap(Iova(FIRST), 2 * PAGE)


def test_memory_comes_back_although_qemu_is_gone(rig: Rig, memory: SharedMemory) -> None:
    rig.map(memory, FIRST)
    rig.iommu.is_gone = True
    with memory.view() as view:
        view[0] = 1
        rig.dma.unmap(Iova(FIRST), 2 * PAGE)
        assert view[0] == 1


def test_a_descriptor_that_is_somebody_elses_by_now_is_left_alone(rig: Rig) -> None:
    memory = SharedMemory(PAGE)
    rig.map(memory, FIRST)
    memory.close()
    reading, writing = os.pipe()
    rig.dma.unmap(Iova(FIRST), PAGE)
    os.close(reading)
    os.close(writing)


def test_a_closed_descriptor_is_refused(rig: Rig, memory: SharedMemory) -> None:
    with pytest.raises(DmaError, match="closed"):
        rig.dma.map(Iova(FIRST), PAGE, address=memory.address, fd=-1, fd_offset=0)


def test_a_forked_child_takes_nothing(rig: Rig, memory: SharedMemory) -> None:
    rig.map(memory, FIRST)

    def child() -> None:
        with pytest.raises(ForkedObject):
            rig.dma.unmap(Iova(FIRST), 2 * PAGE)

    in_forked_child(child)
    assert rig.iommu.allowed
    rig.dma.unmap(Iova(FIRST), 2 * PAGE)
