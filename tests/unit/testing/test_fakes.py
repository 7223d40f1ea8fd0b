from __future__ import annotations

import mmap
from collections.abc import Iterator

import pytest

from pymmio.dma.memory import SharedMemory
from pymmio.errors import DmaError, IommuFault
from pymmio.handle import DmaHandle, Iova, IovaRange, IrqHandle, IrqKind
from pymmio.irq import EventFd
from pymmio.testing.fakes import FakeDma, FakeIrq

PAGE = mmap.PAGESIZE


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    memory = SharedMemory(4 * PAGE)
    yield memory
    memory.close()


def put(dma: FakeDma, memory: SharedMemory, iova: int, *, size: int = PAGE, page: int = 0) -> None:
    offset = page * PAGE
    address = memory.address + offset
    dma.map(Iova(iova), size, address=address, fd=memory.fd, fd_offset=offset)


def test_the_fakes_are_what_the_protocols_say() -> None:
    dma: DmaHandle = FakeDma()
    irq: IrqHandle = FakeIrq()
    assert dma.page_size == 4096
    assert irq.count(IrqKind.MSIX) == 4


def test_the_device_reaches_what_is_mapped(memory: SharedMemory) -> None:
    dma = FakeDma(page_size=PAGE)
    put(dma, memory, 4 * PAGE, size=2 * PAGE, page=1)
    dma.device_write(5 * PAGE - 2, b"abcd")
    assert dma.device_read(5 * PAGE - 2, 4) == b"abcd"
    assert bytes(memory.view()[2 * PAGE - 2 : 2 * PAGE + 2]) == b"abcd"


def test_the_device_faults_outside_of_it(memory: SharedMemory) -> None:
    dma = FakeDma(page_size=PAGE)
    put(dma, memory, 4 * PAGE)
    for iova, size in ((4 * PAGE - 1, 2), (5 * PAGE - 1, 2), (0, 1)):
        with pytest.raises(IommuFault, match="not mapped"):
            dma.device_read(iova, size)
    dma.unmap(Iova(4 * PAGE), PAGE)
    with pytest.raises(IommuFault):
        dma.device_write(4 * PAGE, b"x")


def test_what_an_iommu_refuses_is_refused(memory: SharedMemory) -> None:
    dma = FakeDma([IovaRange(PAGE, 100 * PAGE - 1)], page_size=PAGE, max_mappings=2)
    put(dma, memory, 4 * PAGE, size=2 * PAGE)
    for iova, size in ((5 * PAGE, PAGE), (3 * PAGE, 4 * PAGE), (7 * PAGE + 1, PAGE), (0, PAGE)):
        with pytest.raises(DmaError):
            put(dma, memory, iova, size=size)
    put(dma, memory, 6 * PAGE)
    with pytest.raises(DmaError, match="too many"):
        put(dma, memory, 7 * PAGE)
    with pytest.raises(DmaError, match="no mapping"):
        dma.unmap(Iova(4 * PAGE), PAGE)


def test_failures_come_in_the_planned_order_and_are_logged(memory: SharedMemory) -> None:
    dma = FakeDma(page_size=PAGE)
    dma.fail_next("map", DmaError("first"))
    dma.fail_next("map", DmaError("second"))
    for text in ("first", "second"):
        with pytest.raises(DmaError, match=text):
            put(dma, memory, PAGE)
    assert dma.mappings == {}
    put(dma, memory, PAGE)
    assert dma.called("map") == [("map", PAGE, PAGE)] * 3


def test_interrupts_go_to_the_vector_that_is_on() -> None:
    irq = FakeIrq()
    with EventFd() as first, EventFd() as second:
        irq.fire(IrqKind.MSIX, 1)
        irq.enable(IrqKind.MSIX, [first.fileno(), second.fileno()])
        irq.fire(IrqKind.MSIX, 1, times=2)
        irq.fire(IrqKind.MSIX, 2)
        assert (first.try_take(), second.try_take()) == (0, 2)
        irq.disable(IrqKind.MSIX)
        irq.fire(IrqKind.MSIX, 1)
        assert second.try_take() == 0


def test_intx_masks_itself_and_keeps_one_pending() -> None:
    irq = FakeIrq({IrqKind.INTX: 1})
    with EventFd() as event:
        irq.enable(IrqKind.INTX, [event.fileno()])
        for _ in range(3):
            irq.fire(IrqKind.INTX)
        assert event.try_take() == 1
        irq.unmask_intx()
        assert event.try_take() == 1
        irq.unmask_intx()
        assert event.try_take() == 0
