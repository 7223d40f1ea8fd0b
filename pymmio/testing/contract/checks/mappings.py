"""DMA mappings as the backend makes them: what it says about itself, what it takes and refuses."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from pymmio.dma.memory import SharedMemory
from pymmio.errors import DmaError, IovaExhausted, PymmioError, Unsupported
from pymmio.handle import DmaHandle, Iova
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.footprint import leaves_nothing
from pymmio.testing.contract.subject import Subject


@contextmanager
def shared_memory(size: int) -> Iterator[SharedMemory]:
    """Make memory that a backend can map."""
    memory = SharedMemory(size)
    try:
        yield memory
    finally:
        memory.close()


def _map(dma: DmaHandle, memory: SharedMemory, iova: int, size: int) -> None:
    dma.map(Iova(iova), size, address=memory.address, fd=memory.fd, fd_offset=0)


def _free_iova(dma: DmaHandle, size: int) -> int:
    """Return an address with room, away from where buffers are put first."""
    usable = max(dma.iova_ranges, key=lambda usable: usable.last - usable.first)
    page = max(dma.page_size, mmap.PAGESIZE)
    middle = (usable.first + (usable.last - usable.first) // 2) // page * page
    assert usable.first <= middle
    assert middle + size <= usable.last
    return middle


@check(Group.DMA, Ability.DMA)
def the_address_space_is_described(subject: Subject) -> None:
    """Usable addresses, page size and number of mappings make sense and stay the same."""
    with subject.open() as device:
        dma = device.handle.dma
        ranges = list(dma.iova_ranges)
        assert ranges, "no address is usable"
        for usable in ranges:
            assert 0 <= usable.first <= usable.last < 1 << 64, usable
        in_order = sorted(ranges, key=lambda usable: usable.first)
        for one, following in pairwise(in_order):
            assert one.last < following.first, f"{one} and {following} overlap"
        assert dma.page_size >= 1
        assert not dma.page_size & (dma.page_size - 1), f"pages of {dma.page_size} bytes"
        assert dma.max_mappings >= 1
        assert dma.pins_memory in (True, False)
        assert list(dma.iova_ranges) == ranges


@check(Group.DMA, Ability.DMA)
def buffers_lie_in_usable_addresses(subject: Subject) -> None:
    """Each buffer is whole pages inside the usable addresses, overlaps no other, is not at 0."""
    with subject.open() as device:
        dma = device.handle.dma
        sizes = (1, 4096, 4097, 65536, 1 << 20)
        buffers = [device.dma.alloc(size) for size in sizes]
        spans = sorted((buffer.iova, buffer.iova + buffer.size) for buffer in buffers)
        for start, end in spans:
            assert start % dma.page_size == 0, hex(start)
            assert start > 0, "descriptors that were not filled in point to 0"
            fits = [u for u in dma.iova_ranges if u.first <= start and end - 1 <= u.last]
            assert fits, f"{start:#x} to {end:#x} is not usable: {list(dma.iova_ranges)}"
        for (_, end), (start, _) in pairwise(spans):
            assert end <= start, "buffers overlap"
        assert [len(buffer) for buffer in buffers] == list(sizes)
        for buffer in buffers:
            buffer.close()


@check(Group.DMA, Ability.DMA)
def what_was_asked_of_addresses_is_kept(subject: Subject) -> None:
    """Alignment and address width are kept, or nothing is allocated."""
    with subject.open() as device:
        before = device.dma.mapped_bytes
        for align in (4096, 65536, 1 << 21):
            with device.dma.alloc(4096, align=align) as buffer:
                assert buffer.iova % align == 0, (hex(align), hex(buffer.iova))
        lowest = min(usable.first for usable in device.handle.dma.iova_ranges)
        with device.dma.alloc(4096, address_bits=(lowest + (1 << 25)).bit_length()) as buffer:
            assert buffer.iova + 4096 <= 1 << (lowest + (1 << 25)).bit_length()
        raises(IovaExhausted, lambda: device.dma.alloc(4096, address_bits=12))
        assert device.dma.mapped_bytes == before


@check(Group.DMA, Ability.DMA)
def a_mapping_can_be_made_and_taken_away(subject: Subject) -> None:
    """The backend maps at the address that it is told, and again after it was taken away."""
    with subject.open() as device, shared_memory(2 * mmap.PAGESIZE) as memory:
        dma = device.handle.dma
        iova = _free_iova(dma, memory.size)
        for _ in range(3):
            _map(dma, memory, iova, memory.size)
            dma.unmap(Iova(iova), memory.size)


@check(Group.DMA, Ability.DMA)
def mappings_do_not_overlap(subject: Subject) -> None:
    """A mapping over another raises DmaError, and the first stays as it was."""
    page = mmap.PAGESIZE
    with subject.open() as device, shared_memory(4 * page) as memory:
        dma = device.handle.dma
        iova = _free_iova(dma, 8 * page) + 4 * page
        _map(dma, memory, iova, 2 * page)
        try:
            for start, size in ((0, 2), (1, 2), (-1, 2), (-1, 4), (0, 1)):
                raises(
                    DmaError,
                    lambda s=start, n=size: _map(dma, memory, iova + s * page, n * page),  # type: ignore[misc]
                    f"a mapping of {size} pages {start} pages after one of 2 pages",
                )
        finally:
            dma.unmap(Iova(iova), 2 * page)
        _map(dma, memory, iova, 4 * page)
        dma.unmap(Iova(iova), 4 * page)


@check(Group.DMA, Ability.DMA)
def mappings_are_whole_pages_of_usable_addresses(subject: Subject) -> None:
    """What is no whole page, empty, or outside the usable addresses raises DmaError."""
    page = mmap.PAGESIZE
    with subject.open() as device, shared_memory(2 * page) as memory:
        dma = device.handle.dma
        iova = _free_iova(dma, 2 * page)
        last = max(usable.last for usable in dma.iova_ranges)
        bad = [(iova + 16, page), (iova, page + 16), (iova, 0), (iova + 1, page)]
        if last + 1 + page < 1 << 64:
            bad.append((last + 1, page))
            bad.append(((last + 1 - page) // page * page, 2 * page))
        for start, size in bad:
            raises(
                DmaError,
                lambda s=start, n=size: _map(dma, memory, s, n),  # type: ignore[misc]
                f"a mapping of {size:#x} bytes at {start:#x}",
            )
        _map(dma, memory, iova, page)
        dma.unmap(Iova(iova), page)


@check(Group.DMA, Ability.DMA)
def what_is_not_mapped_cannot_be_taken_away(subject: Subject) -> None:
    """Only a whole former mapping can be taken away; all else raises DmaError."""
    page = mmap.PAGESIZE
    with subject.open() as device, shared_memory(2 * page) as memory:
        dma = device.handle.dma
        iova = _free_iova(dma, 4 * page)
        raises(DmaError, lambda: dma.unmap(Iova(iova), page), "nothing that is mapped")
        _map(dma, memory, iova, 2 * page)
        raises(DmaError, lambda: dma.unmap(Iova(iova), page), "a part of a mapping")
        raises(DmaError, lambda: dma.unmap(Iova(iova + page), page), "the end of a mapping")
        dma.unmap(Iova(iova), 2 * page)
        raises(DmaError, lambda: dma.unmap(Iova(iova), 2 * page), "what was taken away already")


@check(Group.DMA, Ability.DMA)
def many_mappings_leave_nothing(subject: Subject) -> None:
    """A hundred buffers at once, and again, leave no descriptor and no mapping behind."""
    with subject.open() as device:
        device.dma.alloc(4096).close()
        with leaves_nothing("allocating and closing 200 buffers"):
            for _ in range(2):
                many = min(100, device.handle.dma.max_mappings - 1)
                buffers = [device.dma.alloc(4096) for _ in range(many)]
                assert len({buffer.iova for buffer in buffers}) == many
                for buffer in buffers:
                    buffer.close()
        assert device.dma.mapped_bytes == 0


@check(Group.DMA, Ability.DMA)
def huge_pages_work_or_are_refused(subject: Subject) -> None:
    """Memory from huge pages is as asked for, or an exception says what is missing."""
    with subject.open() as device, leaves_nothing("huge pages"):
        try:
            buffer = device.dma.alloc(4096, hugepages=True)
        except PymmioError as error:
            assert error.hint, error
            return
        with buffer:
            assert len(buffer) == 4096
            assert bytes(buffer) == bytes(4096)


@check(Group.DMA)
def dma_that_is_not_offered_says_so(subject: Subject) -> None:
    """A backend without DMA refuses it with a reason; one that has it hands out memory."""
    with subject.open() as device:
        if Ability.DMA in subject.lacks:
            error = raises(Unsupported, lambda: device.dma.alloc(4096))
            assert error.hint, error
        else:
            with device.dma.alloc(4096) as buffer:
                assert bytes(buffer) == bytes(4096)
