from __future__ import annotations

import ctypes
import gc
import io
import os
import warnings

import pytest

from pymmio.dma import DmaBuffer, DmaSpace
from pymmio.errors import (
    BadArgument,
    BufferBusy,
    Closed,
    DmaError,
    ForkedObject,
    OutOfBounds,
)
from pymmio.testing.fakes import FakeDma
from tests.children import in_forked_child

SIZE = 16384


@pytest.fixture
def buf(space: DmaSpace) -> DmaBuffer:
    return space.alloc(SIZE)


def test_buffer_protocol_is_writable_bytes(buf: DmaBuffer) -> None:
    with memoryview(buf) as view:
        assert (view.nbytes, view.format, view.ndim, view.readonly) == (SIZE, "B", 1, False)
        view[:4] = b"\x01\x02\x03\x04"
    assert bytes(buf)[:5] == b"\x01\x02\x03\x04\x00"
    assert io.BytesIO(b"xy").readinto(buf) == 2
    assert bytes(buf)[:3] == b"xy\x03"


def test_what_the_program_writes_the_device_reads(buf: DmaBuffer, dma: FakeDma) -> None:
    memoryview(buf)[100:103] = b"abc"
    assert dma.device_read(buf.iova + 100, 3) == b"abc"
    dma.device_write(buf.iova + 200, b"def")
    assert bytes(memoryview(buf)[200:203]) == b"def"


def test_a_part_has_its_own_addresses_and_the_same_memory(buf: DmaBuffer, dma: FakeDma) -> None:
    part = buf[4096:6144]
    assert (len(part), part.size) == (2048, 2048)
    assert part.iova == buf.iova + 4096
    assert part.address == buf.address + 4096
    assert (part.fd, part.fd_offset) == (buf.fd, 4096)
    dma.device_write(part.iova, b"hello")
    assert bytes(part)[:5] == b"hello"
    assert ctypes.string_at(part.address, 5) == b"hello"
    assert os.pread(part.fd, 5, part.fd_offset) == b"hello"


def test_a_part_of_a_part_counts_from_the_part(buf: DmaBuffer) -> None:
    inner = buf[4096:12288][4096:4100]
    assert (inner.iova, inner.size) == (buf.iova + 8192, 4)
    assert inner.is_part_of(buf)


@pytest.mark.parametrize(
    ("part", "offset", "size"),
    [
        (slice(None), 0, SIZE),
        (slice(None, 10), 0, 10),
        (slice(-16, None), SIZE - 16, 16),
        (slice(1, -1), 1, SIZE - 2),
        (slice(0, SIZE, 1), 0, SIZE),
        (slice(SIZE - 1, SIZE), SIZE - 1, 1),
    ],
)
def test_slices_mean_what_they_mean_in_python(
    buf: DmaBuffer, part: slice, offset: int, size: int
) -> None:
    view = buf[part]
    assert (view.iova - buf.iova, view.size) == (offset, size)


@pytest.mark.parametrize(
    "part",
    [
        slice(0, SIZE + 1),
        slice(SIZE, None),
        slice(8, 8),
        slice(9, 8),
        slice(-SIZE - 1, None),
        slice(0, -SIZE),
    ],
)
def test_a_part_that_does_not_fit_is_refused_not_cut(buf: DmaBuffer, part: slice) -> None:
    with pytest.raises(OutOfBounds, match=f"of {SIZE} bytes"):
        buf[part]


@pytest.mark.parametrize("step", [2, -1])
def test_a_step_is_refused(buf: DmaBuffer, step: int) -> None:
    with pytest.raises(BadArgument, match="step"):
        buf[0:16:step]


def test_an_index_is_refused_with_the_way_to_do_it(buf: DmaBuffer) -> None:
    with pytest.raises(BadArgument, match="memoryview"):
        buf[0]  # type: ignore[index]


def test_close_takes_the_memory_from_the_device(buf: DmaBuffer, dma: FakeDma) -> None:
    buf.close()
    assert buf.closed
    assert dma.mappings == {}
    buf.close()
    assert len(dma.called("unmap")) == 1


def test_close_while_held_raises_until_released(buf: DmaBuffer, dma: FakeDma) -> None:
    buf.hold()
    buf[0:16].hold()
    for _ in range(2):
        with pytest.raises(BufferBusy, match="used by the device"):
            buf.close()
        buf.release()
    buf.close()
    assert dma.mappings == {}


def test_close_while_a_memoryview_exists_raises_and_the_buffer_stays(
    buf: DmaBuffer, dma: FakeDma
) -> None:
    view = memoryview(buf)
    with pytest.raises(BufferBusy, match="memoryviews"):
        buf.close()
    assert not buf.closed
    assert len(dma.mappings) == 1
    view[0] = 1
    assert dma.device_read(buf.iova, 1) == b"\x01"
    view.release()
    buf.close()


def test_close_while_a_slice_of_a_memoryview_exists_raises(buf: DmaBuffer) -> None:
    view = memoryview(buf)[8:16]
    with pytest.raises(BufferBusy):
        buf.close()
    view.release()


def test_the_whole_stays_usable_when_a_part_keeps_it_open(buf: DmaBuffer) -> None:
    part = buf[:16]
    view = memoryview(part)
    with pytest.raises(BufferBusy):
        buf.close()
    assert bytes(buf) == bytes(SIZE)
    with memoryview(buf) as whole:
        whole[0] = 7
    assert view[0] == 7
    view.release()
    buf.close()


def test_close_while_a_memoryview_of_a_part_exists_raises(buf: DmaBuffer) -> None:
    view = memoryview(buf[4096:8192])
    with pytest.raises(BufferBusy):
        buf.close()
    view[0] = 1
    view.release()
    buf.close()


def test_close_while_a_ctypes_array_exists_raises(buf: DmaBuffer) -> None:
    array = (ctypes.c_ubyte * 16).from_buffer(buf)
    with pytest.raises(BufferBusy):
        buf.close()
    array[0] = 1
    del array
    gc.collect()
    buf.close()


def test_a_refused_close_leaves_new_parts_possible(buf: DmaBuffer) -> None:
    idle, busy = buf[0:16], memoryview(buf[16:32])
    with pytest.raises(BufferBusy):
        buf.close()
    assert idle.size == 16
    assert bytes(buf[0:16]) == bytes(16)
    busy.release()


def test_close_of_a_part_leaves_the_whole_open(buf: DmaBuffer, dma: FakeDma) -> None:
    part = buf[0:16]
    part.close()
    part.close()
    assert part.closed
    assert not buf.closed
    with pytest.raises(Closed):
        part.iova
    assert len(dma.mappings) == 1


def test_close_of_a_part_with_a_memoryview_raises(buf: DmaBuffer) -> None:
    part = buf[0:16]
    view = memoryview(part)
    with pytest.raises(BufferBusy):
        part.close()
    assert part.iova == buf.iova
    view.release()
    part.close()


def test_use_after_close_raises_closed(buf: DmaBuffer) -> None:
    part = buf[0:16]
    buf.close()
    for closed in (buf, part):
        for use in (
            lambda b: b.iova,
            lambda b: b.address,
            lambda b: b.fd,
            lambda b: b.fd_offset,
            lambda b: b[0:8],
            lambda b: b.hold(),
            lambda b: b.__enter__(),
        ):
            with pytest.raises(Closed, match="closed"):
                use(closed)
        with pytest.raises(ValueError, match=r"released|closed"):
            memoryview(closed)
        assert "closed" in repr(closed)


def test_failed_unmap_keeps_the_memory_and_can_be_tried_again(
    buf: DmaBuffer, dma: FakeDma, space: DmaSpace
) -> None:
    dma.fail_next("unmap", DmaError("injected"))
    with pytest.raises(DmaError, match="injected"):
        buf.close()
    assert space.mapped_bytes == SIZE
    with pytest.raises(Closed):
        buf.iova
    buf.close()
    assert space.mapped_bytes == 0


def test_a_buffer_whose_close_failed_does_not_warn(space: DmaSpace, dma: FakeDma) -> None:
    buf = space.alloc(SIZE)
    dma.fail_next("unmap", DmaError("injected"))
    with pytest.raises(DmaError):
        buf.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del buf
        gc.collect()
    assert caught == []


def test_with_closes_it(space: DmaSpace, dma: FakeDma) -> None:
    with space.alloc(1) as buf:
        assert len(buf) == 1
    assert buf.closed
    assert dma.mappings == {}


def test_a_part_keeps_the_whole_alive(space: DmaSpace) -> None:
    part = space.alloc(SIZE)[4096:]
    gc.collect()
    memoryview(part)[0] = 1


def test_a_forgotten_buffer_warns_and_stays_mapped(space: DmaSpace, dma: FakeDma) -> None:
    buf = space.alloc(SIZE)
    with pytest.warns(ResourceWarning, match="not closed"):
        del buf
    assert len(dma.mappings) == 1


def test_a_closed_buffer_does_not_warn(space: DmaSpace) -> None:
    buf = space.alloc(SIZE)
    part = buf[0:8]
    buf.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del buf, part
        gc.collect()


def test_in_a_forked_child_all_use_raises_and_close_does_nothing(
    buf: DmaBuffer, dma: FakeDma
) -> None:
    part = buf[0:16]

    def child() -> None:
        for inherited in (buf, part):
            with pytest.raises(ForkedObject, match="parent"):
                inherited.iova
            with pytest.raises(ForkedObject):
                inherited[0:8]
            with pytest.raises(ValueError, match="released"):
                memoryview(inherited)
            inherited.close()
        assert dma.called("unmap") == []

    in_forked_child(child)
    memoryview(buf)[0] = 1
    assert dma.device_read(buf.iova, 1) == b"\x01"


def test_a_memoryview_from_before_fork_stays_valid_in_the_child(buf: DmaBuffer) -> None:
    view = memoryview(buf)

    def child() -> None:
        view[0] = 5

    in_forked_child(child)
    assert view[0] == 5
    view.release()


def test_memoryviews_in_cycles_are_collected() -> None:
    def forget(space: DmaSpace) -> None:
        buf = space.alloc(SIZE)
        part = buf[:16]
        views = [memoryview(buf), memoryview(part)]
        buf_and_views = [buf, part, *views]
        buf_and_views.append(buf_and_views)
        views.append(views)

    def child() -> None:  # once this ended in a segmentation fault
        warnings.simplefilter("ignore", ResourceWarning)
        gc.freeze()  # what pytest made is not looked at fifty times
        with DmaSpace(FakeDma()) as space:
            for _ in range(50):
                forget(space)
                gc.collect()

    in_forked_child(child)


def test_a_view_holds_the_buffer_until_it_is_released(space: DmaSpace) -> None:
    buf = space.alloc(SIZE)
    views = [memoryview(buf) for _ in range(3)]
    copies = [view[8:16] for view in views]
    for view in (*views, *copies):
        with pytest.raises(BufferBusy):
            buf.close()
        view.release()
    buf.close()
