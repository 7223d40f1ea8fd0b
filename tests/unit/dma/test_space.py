from __future__ import annotations

import gc
import mmap
import os
import threading

import pytest

from pymmio.dma import Budget, DmaSpace, IovaAllocator, MemoryFacts, read_memory_facts
from pymmio.dma import space as space_module
from pymmio.dma.allocation import Allocation
from pymmio.dma.memory import SharedMemory
from pymmio.errors import (
    BadArgument,
    BudgetExceeded,
    Closed,
    DmaError,
    ForkedObject,
    IovaExhausted,
    MappingLimit,
    Unsupported,
)
from pymmio.handle import IovaRange
from pymmio.testing.fakes import FakeDma
from tests.children import in_forked_child

from .conftest import Footprint, unlimited

PAGE = mmap.PAGESIZE


def make(dma: FakeDma, *, limit_bytes: int | None = None, **facts: int) -> DmaSpace:
    budget = Budget(limit_bytes=limit_bytes, facts=lambda: MemoryFacts(**facts))
    return DmaSpace(dma, budget=budget, name="fake")


def test_buffer_has_the_asked_size_and_the_mapping_whole_pages(
    space: DmaSpace, dma: FakeDma
) -> None:
    buf = space.alloc(PAGE + 1)
    assert len(buf) == PAGE + 1
    assert dma.called("map") == [("map", buf.iova, 2 * PAGE)]
    assert space.mapped_bytes == 2 * PAGE


def test_page_zero_is_never_used(space: DmaSpace) -> None:
    assert space.alloc(1).iova == PAGE


def test_addresses_come_from_the_handle(dma: FakeDma) -> None:
    dma.iova_ranges = [IovaRange(0x80000000, 0x800FFFFF)]
    with make(dma) as space:
        assert space.alloc(1).iova == 0x80000000


def test_parts_of_pages_in_the_ranges_of_the_handle_are_not_used(dma: FakeDma) -> None:
    dma.iova_ranges = [IovaRange(PAGE + 1, 64 * PAGE)]
    with make(dma) as space:
        assert space.alloc(1).iova == 2 * PAGE


def test_a_smaller_page_of_the_iommu_becomes_a_page_of_this_machine(dma: FakeDma) -> None:
    dma.page_size = 512
    with make(dma) as space:
        assert space.page_size == PAGE
        space.alloc(1)
    assert dma.called("map") == [("map", PAGE, PAGE)]


def test_alignment_is_of_the_iova(space: DmaSpace) -> None:
    assert space.alloc(1).iova == PAGE
    assert space.alloc(1, align=1 << 21).iova == 1 << 21


def test_a_closed_buffer_makes_its_addresses_free(space: DmaSpace) -> None:
    first = space.alloc(PAGE)
    iova = first.iova
    first.close()
    second = space.alloc(PAGE)
    assert second.iova == iova
    first.close()  # must not close the one that has its address now
    assert not second.closed


def test_few_address_lines_get_low_addresses(dma: FakeDma) -> None:
    dma.iova_ranges = [IovaRange(0x1000_0000, 0xFFFF_FFFF)]
    with make(dma) as space:
        space.alloc(1, address_bits=32)
        with pytest.raises(IovaExhausted, match="below 0x10000000"):
            space.alloc(1, address_bits=28)


@pytest.mark.parametrize(("size", "align"), [(0, None), (-1, None), (1, 3000), (1, 0)])
def test_nonsense_is_refused(space: DmaSpace, dma: FakeDma, size: int, align: int | None) -> None:
    with pytest.raises(BadArgument):
        space.alloc(size, align=align)
    assert dma.calls == []


def test_mapping_limit_is_seen_before_the_kernel_says_it(dma: FakeDma) -> None:
    dma.max_mappings = 2
    with make(dma) as space:
        first, _second = space.alloc(1), space.alloc(1)
        with pytest.raises(MappingLimit, match="fake has 2 DMA mappings"):
            space.alloc(1)
        assert len(dma.called("map")) == 2
        first.close()
        space.alloc(1)


def test_memlock_is_checked_beforehand_where_memory_is_pinned(dma: FakeDma) -> None:
    dma.pins_memory = True
    with make(dma, memlock_limit=3 * PAGE) as space:
        space.alloc(2 * PAGE)
        with pytest.raises(BudgetExceeded, match="ulimit -l"):
            space.alloc(PAGE + 1)
        assert len(dma.called("map")) == 1
        space.alloc(PAGE)


def test_budget_of_the_user_counts_whole_pages_and_gets_them_back(dma: FakeDma) -> None:
    with make(dma, limit_bytes=2 * PAGE) as space:
        first = space.alloc(1)
        space.alloc(1)
        with pytest.raises(BudgetExceeded, match=f"budget of {2 * PAGE} bytes"):
            space.alloc(1)
        first.close()
        space.alloc(1)


def inject(monkeypatch: pytest.MonkeyPatch, dma: FakeDma, step: str) -> None:
    """Let one step of ``alloc`` fail."""

    def fail(*arguments: object, **keywords: object) -> None:
        raise DmaError("injected")

    def fail_os(*arguments: object, **keywords: object) -> None:
        raise OSError(28, "injected")

    match step:
        case "iova":
            monkeypatch.setattr(IovaAllocator, "allocate", fail)
        case "memfd_create" | "ftruncate":
            monkeypatch.setattr(os, step, fail_os)
        case "mmap":
            monkeypatch.setattr(mmap, "mmap", fail_os)
        case "view":
            monkeypatch.setattr(SharedMemory, "view", fail)
        case "allocation":
            monkeypatch.setattr(Allocation, "piece", fail)
        case "map":
            dma.fail_next("map", DmaError("injected"))


@pytest.mark.parametrize(
    "step", ["iova", "memfd_create", "ftruncate", "mmap", "view", "allocation", "map"]
)
def test_failure_at_each_step_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, dma: FakeDma, space: DmaSpace, footprint: Footprint, step: str
) -> None:
    before = footprint()
    free = space._iovas.free_ranges
    with monkeypatch.context() as patch:
        inject(patch, dma, step)
        with pytest.raises(DmaError, match="injected") as kept:  # with its frames, and theirs
            space.alloc(3 * PAGE)
    assert footprint() == before
    del kept
    assert space._iovas.free_ranges == free
    assert space.mapped_bytes == 0
    assert dma.mappings == {}
    space.alloc(3 * PAGE).close()


def test_close_unmaps_everything_once(dma: FakeDma, footprint: Footprint) -> None:
    before = footprint()
    space = make(dma)
    buffers = [space.alloc(PAGE) for _ in range(3)]
    buffers[0].close()
    buffers[1].hold()
    space.close()
    space.close()
    assert dma.mappings == {}
    assert len(dma.called("unmap")) == 3
    assert all(buf.closed for buf in buffers)
    buffers[1].release()
    assert footprint() == before
    buffers[1].close()


def test_exported_views_outlive_the_space(dma: FakeDma, footprint: Footprint) -> None:
    before = footprint()
    space = make(dma)
    buf = space.alloc(PAGE)
    view = memoryview(buf[8:16])
    space.close()
    assert dma.mappings == {}
    del buf
    view[0] = 1
    view.release()
    del view
    gc.collect()
    assert footprint() == before


def test_close_goes_on_after_a_failure_and_never_frees_that_memory(
    dma: FakeDma, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_module, "_stranded", [])
    space = make(dma)
    buffers = [space.alloc(PAGE) for _ in range(3)]
    address = buffers[0].address
    dma.fail_next("unmap", DmaError("injected"))
    with pytest.raises(DmaError, match=r"1 of 3 DMA buffers .* fake: injected"):
        space.close()
    assert len(dma.mappings) == 1
    del buffers
    gc.collect()
    assert [stranded.memory.address for stranded in space_module._stranded] == [address]
    assert dma.device_read(next(iter(dma.mappings)), 1) == b"\x00"
    space.close()
    assert len(dma.called("unmap")) == 3


def test_alloc_after_close_raises(dma: FakeDma) -> None:
    space = make(dma)
    space.close()
    with pytest.raises(Closed, match="fake is closed"):
        space.alloc(1)
    with pytest.raises(Closed):
        space.__enter__()


def test_a_forgotten_space_warns_and_keeps_the_memory(
    dma: FakeDma, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space_module, "_stranded", [])
    space = make(dma)
    with pytest.warns(ResourceWarning, match="DmaBuffer"):
        space.alloc(PAGE)
    gc.collect()  # the recorded warning refers to the buffer, and that to the space
    with pytest.warns(ResourceWarning, match=f"fake was not closed; {PAGE} bytes stay mapped"):
        del space
    assert [stranded.iova for stranded in space_module._stranded] == [PAGE]
    assert dma.device_read(PAGE, 1) == b"\x00"


def test_a_forked_child_cannot_allocate_nor_close(space: DmaSpace, dma: FakeDma) -> None:
    space.alloc(PAGE)

    def child() -> None:
        with pytest.raises(ForkedObject, match="child"):
            space.alloc(PAGE)
        space.close()
        assert dma.called("unmap") == []
        assert space.closed

    in_forked_child(child)
    assert not space.closed
    space.alloc(PAGE)


def test_fork_while_another_thread_holds_the_lock_does_not_hang_the_child(
    space: DmaSpace,
) -> None:
    buf = space.alloc(PAGE)
    locked, done = threading.Event(), threading.Event()

    def hold_lock() -> None:
        with space._lock:
            locked.set()
            done.wait(60)

    thread = threading.Thread(target=hold_lock)
    thread.start()
    assert locked.wait(60)
    try:
        in_forked_child(buf.close)
    finally:
        done.set()
        thread.join(60)


def test_threads_may_allocate_and_close_at_once(space: DmaSpace, dma: FakeDma) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                with space.alloc(PAGE) as buf:
                    memoryview(buf[0:8])[0] = 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert dma.mappings == {}


def test_real_facts_are_used_by_default(dma: FakeDma) -> None:
    with DmaSpace(dma) as space:
        with pytest.raises(BudgetExceeded, match="MemAvailable"):
            space.alloc(1 << 50)


def test_hugepages_without_kernel_support_say_so(space: DmaSpace) -> None:
    with pytest.raises(Unsupported, match="hugepages=False"):
        space.alloc(1, hugepages=True)


def test_hugepages_are_rounded_up_and_aligned(
    dma: FakeDma, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []

    def ordinary_pages(size: int, *, hugepages: bool) -> SharedMemory:
        asked.append((size, hugepages))
        return SharedMemory(size)

    monkeypatch.setattr(space_module, "SharedMemory", ordinary_pages)
    huge = 2 << 20
    with make(dma, hugepage_size=huge, hugepages_free=1) as space:
        buf = space.alloc(huge - 5, align=PAGE, hugepages=True)
        assert asked == [(huge, True)]
        assert len(buf) == huge - 5
        assert buf.iova == huge
        assert space.alloc(1, hugepages=True).iova == 2 * huge
        assert space.alloc(1, align=4 * huge, hugepages=True).iova == 4 * huge


def test_hugepages_of_this_machine(dma: FakeDma) -> None:
    facts = read_memory_facts()
    with DmaSpace(dma) as space:
        if facts.hugepages_free:
            buf = space.alloc(1, hugepages=True)
            assert dma.called("map") == [("map", buf.iova, facts.hugepage_size)]
            return
        with pytest.raises((BudgetExceeded, Unsupported), match=r"nr_hugepages|no huge pages"):
            space.alloc(1, hugepages=True)


def test_default_budget_has_no_limit_of_its_own() -> None:
    assert Budget().limit_bytes is None
    assert Budget(facts=unlimited).facts() == MemoryFacts()


def test_a_space_owns_its_open_buffers_and_their_parts() -> None:
    with DmaSpace(FakeDma()) as space, DmaSpace(FakeDma()) as other:
        buffer, foreign = space.alloc(8192), other.alloc(8192)
        assert buffer.iova == foreign.iova
        assert space.owns(buffer)
        assert space.owns(buffer[4096:])
        assert not space.owns(foreign)
        buffer.close()
        assert not space.owns(buffer)
