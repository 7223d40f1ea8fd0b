"""Memory that QEMU's devices reach: each byte is where it belongs, whatever is mapped."""

from __future__ import annotations

import mmap
import os

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pymmio.backend.qtest.dma import QtestDma
from pymmio.backend.qtest.machine.iommu import Iommu
from pymmio.backend.qtest.machine.layout import RamPlan
from pymmio.backend.qtest.machine.memory import Ram
from pymmio.dma.memory import SharedMemory
from pymmio.errors import DmaError
from pymmio.handle import Iova
from tests.examples import examples

MIB = 1 << 20
PAGE = mmap.PAGESIZE
PAGES = 8
PLACES = [MIB + PAGE * index for index in range(PAGES)]


class FakeIommu:
    """The pages that the device reaches."""

    def __init__(self) -> None:
        self.pages: set[int] = set()

    def allow(self, address: int, size: int) -> None:
        self.pages |= set(range(address, address + size, PAGE))

    def forbid(self, address: int, size: int) -> None:
        self.pages -= set(range(address, address + size, PAGE))


class Mapped:
    """Memory, what it holds, and where the device finds it."""

    def __init__(self, memory: SharedMemory, *, is_own: bool) -> None:
        self.memory = memory
        self.view = memory.view()
        self.expected = bytearray(memory.size)
        self.is_own = is_own
        self.iova: int | None = None


class Exchange(RuleBasedStateMachine):
    """Own pieces of RAM and memory of others, written by the program and by the device."""

    @initialize()
    def start(self) -> None:
        self.ram = Ram(16 * MIB)
        self.iommu = FakeIommu()
        plan = RamPlan(16 * MIB, has_iommu=True)
        iommu: Iommu = self.iommu  # type: ignore[assignment]
        self.dma = QtestDma("property", self.ram, plan, iommu)
        self.things: list[Mapped] = []

    @rule(pages=st.integers(1, 3))
    def make(self, pages: int) -> None:
        if len(self.things) < PAGES:
            self.things.append(Mapped(SharedMemory(pages * PAGE), is_own=False))

    def is_free(self, iova: int, size: int) -> bool:
        return iova + size <= MIB + PAGES * PAGE and not any(
            one.iova is not None and one.iova < iova + size and iova < one.iova + one.memory.size
            for one in self.things
        )

    @rule(iova=st.sampled_from(PLACES), pages=st.integers(1, 3))
    def take_a_piece(self, iova: int, pages: int) -> None:
        size = pages * PAGE
        if not self.is_free(iova, size) and iova + size <= MIB + PAGES * PAGE:
            with pytest.raises(DmaError):
                self.dma.memory_at(Iova(iova), size)
            return
        if iova + size > MIB + PAGES * PAGE:
            return
        memory = SharedMemory(size, piece_of=self.dma.memory_at(Iova(iova), size))
        one = Mapped(memory, is_own=True)
        self.map(one, iova)
        self.things.append(one)

    def map(self, one: Mapped, iova: int) -> None:
        memory = one.memory
        self.dma.map(
            Iova(iova), memory.size, address=memory.address, fd=memory.fd, fd_offset=memory.offset
        )
        one.iova = iova

    @precondition(lambda self: self.things)
    @rule(index=st.integers(0, PAGES), iova=st.sampled_from(PLACES))
    def lend(self, index: int, iova: int) -> None:
        one = self.things[index % len(self.things)]
        if one.is_own or iova + one.memory.size > MIB + PAGES * PAGE:
            return
        if one.iova is not None or not self.is_free(iova, one.memory.size):
            before = one.iova
            with pytest.raises(DmaError):
                self.map(one, iova)
            assert one.iova == before
            return
        self.map(one, iova)

    @precondition(lambda self: self.things)
    @rule(index=st.integers(0, PAGES))
    def unmap(self, index: int) -> None:
        one = self.things[index % len(self.things)]
        if one.iova is None:
            return
        self.dma.unmap(Iova(one.iova), one.memory.size)
        one.iova = None
        if one.is_own:
            self.drop(one)
        else:
            assert os.pread(one.memory.fd, one.memory.size, 0) == one.expected

    def drop(self, one: Mapped) -> None:
        one.view.release()
        one.memory.close()
        self.things.remove(one)

    @precondition(lambda self: self.things)
    @rule(index=st.integers(0, PAGES), at=st.integers(0, 3 * PAGE), value=st.integers(0, 255))
    def program_writes(self, index: int, at: int, value: int) -> None:
        one = self.things[index % len(self.things)]
        one.view[at % one.memory.size] = value
        one.expected[at % one.memory.size] = value

    @precondition(lambda self: any(one.iova is not None for one in self.things))
    @rule(index=st.integers(0, PAGES), at=st.integers(0, 3 * PAGE), value=st.integers(0, 255))
    def device_writes(self, index: int, at: int, value: int) -> None:
        mapped = [one for one in self.things if one.iova is not None]
        one = mapped[index % len(mapped)]
        assert one.iova is not None
        self.ram.view[one.iova + at % one.memory.size] = value
        one.expected[at % one.memory.size] = value

    @rule(place=st.sampled_from(PLACES), value=st.integers(1, 255))
    def a_late_write_hits_what_is_nobodys(self, place: int, value: int) -> None:
        if self.is_free(place, PAGE):
            self.ram.view[place] = value

    @invariant()
    def everything_is_where_it_belongs(self) -> None:
        if not hasattr(self, "things"):
            return
        for one in self.things:
            assert one.view == one.expected
            if one.iova is not None:
                assert self.ram.view[one.iova : one.iova + one.memory.size] == one.expected
        reached = {
            page
            for one in self.things
            if one.iova is not None
            for page in range(one.iova, one.iova + one.memory.size, PAGE)
        }
        assert self.iommu.pages == reached

    def teardown(self) -> None:
        if not hasattr(self, "things"):
            return
        self.dma.close()
        for one in list(self.things):
            assert one.view == one.expected  # what is mapped still outlives the machine
            self.drop(one)


Exchange.TestCase.settings = examples(40, stateful_step_count=30)
TestExchange = Exchange.TestCase
