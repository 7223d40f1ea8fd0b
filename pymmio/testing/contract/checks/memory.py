"""DMA: the device reads and writes the memory that was mapped for it, and no other."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

from pymmio.errors import DeviceTimeout, IommuFault
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.devices.base import Exerciser
from pymmio.testing.contract.subject import Subject


def store_quietly(exerciser: Exerciser, iova: int, size: int) -> None:
    """Have the device write; whether anybody is told that it could not is not asked here."""
    with suppress(IommuFault, DeviceTimeout):  # in this process the fault comes back to the caller
        exerciser.store(iova, size)


def fetch_quietly(exerciser: Exerciser, iova: int, size: int) -> None:
    """Have the device read; see store_quietly."""
    with suppress(IommuFault, DeviceTimeout):
        exerciser.fetch(iova, size)


@check(Group.DMA, Ability.DMA)
def dma_goes_both_ways(subject: Subject) -> None:
    """The device reads what the program wrote, and the program reads what the device wrote."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.limit // 2
        data = os.urandom(size)
        with exerciser.alloc(4 * size) as buffer:
            with memoryview(buffer) as view:
                view[:size] = data
            assert exerciser.fetch(buffer.iova, size)
            half = buffer[2 * size :]
            assert exerciser.store(half.iova, size)
            with memoryview(buffer) as view:
                assert bytes(view[2 * size : 3 * size]) == data
                assert bytes(view[size : 2 * size]) == bytes(size), "it wrote before the place"
                assert bytes(view[3 * size :]) == bytes(size), "it wrote behind the place"
            half.close()


@check(Group.DMA, Ability.DMA)
def transfers_cross_pages(subject: Subject) -> None:
    """A transfer may begin in one page and end in the next."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size, page = exerciser.limit, exerciser.device.dma.page_size
        data = os.urandom(size)
        with exerciser.alloc(3 * page) as buffer:
            for start in (page - size // 2, 2 * page - exerciser.unit):
                target = 2 * page - size // 2 if start < page else page - size // 2
                with memoryview(buffer) as view:
                    view[:] = bytes(3 * page)
                    view[start : start + size] = data
                assert exerciser.fetch(buffer.iova + start, size)
                with memoryview(buffer) as view:
                    view[:] = bytes(3 * page)
                assert exerciser.store(buffer.iova + target, size)
                with memoryview(buffer) as view:
                    assert bytes(view[target : target + size]) == data, hex(start)


@check(Group.DMA, Ability.DMA)
def each_buffer_is_memory_of_its_own(subject: Subject) -> None:
    """Many buffers at once: what the device writes to one arrives in this one."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.unit
        buffers = [exerciser.alloc(4096) for _ in range(6)]
        for number, buffer in enumerate(buffers):
            with memoryview(buffer) as view:
                view[:size] = bytes([number + 1]) * size
        for number, buffer in enumerate(buffers):
            other = buffers[-1 - number]
            assert exerciser.fetch(buffer.iova, size)
            assert exerciser.store(other.iova + 2048, size)
        for number, buffer in enumerate(buffers):
            with memoryview(buffer) as view:
                assert view[0] == number + 1
                assert bytes(view[2048 : 2048 + size]) == bytes([6 - number]) * size, number
        for buffer in buffers:
            buffer.close()


@check(Group.DMA, Ability.DMA)
def views_have_addresses_of_their_own(subject: Subject) -> None:
    """The device reaches a part of a buffer at the part's address."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.unit
        with exerciser.alloc(4096) as buffer:
            part = buffer[1024:2048]
            inner = part[512:1024] if size <= 512 else part
            assert part.iova == buffer.iova + 1024
            assert inner.iova == buffer.iova + 1536
            with memoryview(buffer) as view:
                view[:size] = b"\x3c" * size
            assert exerciser.fetch(buffer.iova, size)
            assert exerciser.store(inner.iova, size)
            assert bytes(inner)[:size] == b"\x3c" * size
            assert bytes(part)[:512] == bytes(512)
            inner.close()
            part.close()


@check(Group.DMA, Ability.DMA, Ability.ISOLATION)
def dma_outside_what_is_mapped_reaches_no_memory(subject: Subject) -> None:
    """An access to an address that nothing is mapped at changes no memory of the program."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size, page = exerciser.unit, exerciser.device.dma.page_size
        source, other = exerciser.alloc(page), exerciser.alloc(2 * page)
        with memoryview(source) as view:
            view[:size] = b"\xee" * size
        assert exerciser.fetch(source.iova, size)
        gone = exerciser.alloc(page)
        hole = gone.iova
        gone.close()
        store_quietly(exerciser, hole, size)
        with memoryview(other) as view:
            assert bytes(view) == bytes(2 * page)
        with memoryview(source) as view:
            assert bytes(view[size:]) == bytes(page - size)
        exerciser.stop()
        source.close()
        other.close()


@check(Group.DMA, Ability.DMA, Ability.ISOLATION)
def memory_that_was_closed_is_out_of_reach(subject: Subject) -> None:
    """After a buffer was closed the device neither writes its former memory nor reads it."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.unit
        source, target = exerciser.alloc(4096), exerciser.alloc(4096)
        with memoryview(source) as view:
            view[:size] = b"\x11" * size
        assert exerciser.fetch(source.iova, size)
        gone = exerciser.alloc(4096)
        iova = gone.iova
        # The memory outlives the buffer here, so that one can see what happens to it.
        with mmap.mmap(gone.fd, 4096, offset=gone.fd_offset) as kept:
            kept[:] = b"\x22" * 4096
            gone.close()
            store_quietly(exerciser, iova, size)
            assert kept[:] == b"\x22" * 4096, "the device wrote to memory that was taken away"
            fetch_quietly(exerciser, iova, size)
            store_quietly(exerciser, target.iova, size)
        with memoryview(target) as view:
            assert b"\x22" * 8 not in bytes(view), "the device read memory that was taken away"
        exerciser.stop()
        source.close()
        target.close()


@check(Group.DMA, Ability.DMA, Ability.ISOLATION)
def a_transfer_that_leaves_its_buffer_stops_at_the_end(subject: Subject) -> None:
    """What a device writes beyond the end of the mapped memory arrives nowhere."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size, page = exerciser.limit // 2, exerciser.device.dma.page_size
        source = exerciser.alloc(page)
        with memoryview(source) as view:
            view[:size] = b"\x44" * size
        assert exerciser.fetch(source.iova, size)
        target, behind = exerciser.alloc(page), exerciser.alloc(page)
        is_next = behind.iova == target.iova + page
        witness = behind if is_next else None
        behind.close()
        store_quietly(exerciser, target.iova + page - size // 2, size)
        with memoryview(target) as view:
            assert bytes(view[: page - size // 2]) == bytes(page - size // 2)
        with memoryview(source) as view:
            assert bytes(view[size:]) == bytes(page - size)
        assert witness is None or witness.closed
        exerciser.stop()
        source.close()
        target.close()


@check(Group.DMA, Ability.DMA)
def without_bus_mastering_nothing_is_accessed(subject: Subject) -> None:
    """While bus mastering is off the device reads and writes no memory."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.unit
        buffer = exerciser.alloc(4096)
        with memoryview(buffer) as view:
            view[:size] = b"\x55" * size
        assert exerciser.fetch(buffer.iova, size)
        exerciser.device.disable_bus_master()
        store_quietly(exerciser, buffer.iova + 2048, size)
        with memoryview(buffer) as view:
            assert bytes(view[2048 : 2048 + size]) == bytes(size), "it wrote all the same"
        exerciser.stop()
        exerciser.start()
        with memoryview(buffer) as view:
            view[:size] = b"\x66" * size
        assert exerciser.fetch(buffer.iova, size)
        assert exerciser.store(buffer.iova + 2048, size)
        with memoryview(buffer) as view:
            assert bytes(view[2048 : 2048 + size]) == b"\x66" * size
        exerciser.stop()
        buffer.close()
