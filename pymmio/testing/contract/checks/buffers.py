"""DMA memory as an object: it is owned, and freed only when nobody uses it."""

from __future__ import annotations

import ctypes
import mmap
import os

from pymmio.errors import BadArgument, BufferBusy, Closed, DmaError, OutOfBounds
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject


@check(Group.DMA, Ability.DMA)
def memory_is_zero_at_first(subject: Subject) -> None:
    """Fresh memory is zero, also where former memory was full."""
    with subject.open() as device:
        for _ in range(3):
            with device.dma.alloc(3 * 4096) as buffer:
                assert bytes(buffer) == bytes(3 * 4096)
                with memoryview(buffer) as view:
                    view[:] = b"\xff" * len(view)


@check(Group.DMA, Ability.DMA)
def memory_is_the_same_by_each_way(subject: Subject) -> None:
    """Buffer protocol, address and descriptor are of the same bytes."""
    with subject.open() as device, device.dma.alloc(4096) as buffer:
        with memoryview(buffer) as view:
            assert (view.nbytes, view.readonly, view.c_contiguous) == (4096, False, True)
            view[16:20] = b"view"
        assert ctypes.string_at(buffer.address + 16, 4) == b"view"
        assert os.pread(buffer.fd, 4, buffer.fd_offset + 16) == b"view"
        os.pwrite(buffer.fd, b"file", buffer.fd_offset + 32)
        assert bytes(buffer)[32:36] == b"file"
        part = buffer[32:64]
        assert os.pread(part.fd, 4, part.fd_offset) == b"file"
        assert part.address == buffer.address + 32
        part.close()


@check(Group.DMA, Ability.DMA)
def memory_is_shared_and_its_size_is_fixed(subject: Subject) -> None:
    """The memory is a file whose size nobody can change under the program."""
    with subject.open() as device, device.dma.alloc(4096) as buffer:
        with mmap.mmap(buffer.fd, 4096, mmap.MAP_SHARED, offset=buffer.fd_offset) as other:
            other[:5] = b"other"
            assert bytes(buffer)[:5] == b"other"
        raises(OSError, lambda: os.ftruncate(buffer.fd, 0))


@check(Group.DMA, Ability.DMA)
def memory_in_use_is_not_freed(subject: Subject) -> None:
    """While the device uses it, closing raises BufferBusy, and the buffer is as before."""
    with subject.open() as device:
        buffer = device.dma.alloc(4096)
        iova = buffer.iova
        buffer.hold()
        buffer[16:32].hold()
        raises(BufferBusy, buffer.close)
        buffer.release()
        raises(BufferBusy, buffer.close)
        assert buffer.iova == iova
        buffer.release()
        raises(DmaError, buffer.release)
        buffer.close()
        buffer.close()
        raises(Closed, lambda: buffer.iova)


@check(Group.DMA, Ability.DMA)
def memory_that_is_viewed_is_not_freed(subject: Subject) -> None:
    """While a memoryview exists closing raises BufferBusy (a BufferError); then it works."""
    with subject.open() as device:
        buffer = device.dma.alloc(4096)
        view = memoryview(buffer)
        part = buffer[0:16]
        inner = memoryview(part)
        error = raises(BufferBusy, buffer.close)
        assert isinstance(error, BufferError)
        view[0] = 9
        view.release()
        raises(BufferBusy, buffer.close)
        inner.release()
        assert bytes(buffer)[0] == 9
        buffer.close()
        raises(Closed, lambda: part.iova)
        raises(Closed, lambda: buffer[0:16])


@check(Group.DMA, Ability.DMA)
def closing_a_part_leaves_the_whole(subject: Subject) -> None:
    """A part closes itself only, and the whole closes its parts."""
    with subject.open() as device, device.dma.alloc(4096) as buffer:
        part, other = buffer[:16], buffer[16:32]
        part.close()
        raises(Closed, lambda: part.iova)
        assert other.iova == buffer.iova + 16
        assert bytes(buffer) == bytes(4096)
        buffer.close()
        raises(Closed, lambda: other.iova)


@check(Group.DMA, Ability.DMA)
def parts_are_strict(subject: Subject) -> None:
    """A part that does not fit raises instead of being made smaller."""
    with subject.open() as device, device.dma.alloc(4096) as buffer:
        raises(OutOfBounds, lambda: buffer[0:4097])
        raises(OutOfBounds, lambda: buffer[16:16])
        raises(OutOfBounds, lambda: buffer[-5000:])
        raises(BadArgument, lambda: buffer[0:16:2])
        raises(BadArgument, lambda: device.dma.alloc(0))
        raises(BadArgument, lambda: device.dma.alloc(4096, align=3))
        assert buffer[-16:].iova == buffer.iova + 4080


@check(Group.DMA, Ability.DMA)
def memory_outlives_a_program_that_forgets_it(subject: Subject) -> None:
    """A buffer that is forgotten stays mapped until the device is closed."""
    import gc
    import warnings

    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.unit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            buffer = exerciser.alloc(4096)
            iova, held = buffer.iova, exerciser.device.dma.mapped_bytes
            with memoryview(buffer) as view:
                view[:size] = b"\x77" * size
            del buffer
            gc.collect()
        assert exerciser.device.dma.mapped_bytes == held
        assert exerciser.fetch(iova, size)
        with exerciser.alloc(4096) as target:
            assert target.iova != iova
            assert exerciser.store(target.iova, size)
            assert bytes(target)[:size] == b"\x77" * size
