"""DAX devices, their partitions, and what stands on them."""

from __future__ import annotations

import os

import pytest

from pymmio.dax import (
    LOGICAL_BLOCK,
    PAGE_SIZE,
    AsyncDaxFile,
    DaxBlocks,
    DaxDevice,
    DaxFile,
    Durability,
    PlainMemory,
    memory_of,
)
from pymmio.errors import AccessFault, BufferBusy, MediaError, Misaligned, OutOfBounds, Unsupported
from pymmio.handle import Access, RegionInfo
from pymmio.mmio import HandleRegion
from pymmio.testing import mapped_region


class Recorder:
    """A region's handle that keeps bytes and every access."""

    def __init__(self, size: int, bad_from: int | None = None) -> None:
        self.info = RegionInfo(0, "BAR0", size)
        self.memory = bytearray(size)
        self.accesses: list[tuple[str, int, int]] = []
        self.bad_from = size if bad_from is None else bad_from

    def _note(self, kind: str, offset: int, width: int) -> None:
        self.accesses.append((kind, offset, width))
        assert offset % width == 0, "not aligned"
        if offset + width > self.bad_from:
            raise AccessFault("no answer", region="BAR0", offset=offset, width=width)

    def read(self, offset: int, width: int) -> int:
        self._note("read", offset, width)
        return int.from_bytes(self.memory[offset : offset + width], "little")

    def write(self, offset: int, width: int, value: int) -> None:
        self._note("write", offset, width)
        self.memory[offset : offset + width] = value.to_bytes(width, "little")

    def mmap_source(self) -> None:
        return None

    def pread_source(self) -> None:
        return None


def behind_a_bar(size: int = 2 * PAGE_SIZE, bad_from: int | None = None):
    recorder = Recorder(size, bad_from)
    return recorder, memory_of(HandleRegion(recorder, access=Access.MESSAGE))


def device(pages: int = 4, **options) -> DaxDevice:
    return DaxDevice(PlainMemory(bytearray(pages * PAGE_SIZE), name="m"), **options)


@pytest.mark.parametrize(
    ("offset", "size", "widths"),
    [
        (0, 16, [8, 8]),
        (1, 15, [1, 2, 4, 8]),
        (8, 7, [4, 2, 1]),
        (3, 2, [1, 1]),
        (6, 20, [2, 8, 8, 2]),
        (0, 0, []),
        (5, 1, [1]),
    ],
)
def test_behind_a_bar_copies_are_aligned_accesses(offset: int, size: int, widths) -> None:
    recorder, memory = behind_a_bar()
    data = os.urandom(size)
    memory.write_from(offset, data)
    assert [width for _, _, width in recorder.accesses] == widths
    assert recorder.memory[offset : offset + size] == data
    recorder.accesses.clear()
    target = bytearray(size)
    memory.read_into(offset, target)
    assert target == data
    assert [width for _, _, width in recorder.accesses] == widths


def test_behind_a_bar_nothing_is_dereferenced() -> None:
    _, memory = behind_a_bar()
    assert not memory.is_dereferenceable
    assert not memory.is_cached
    dax = DaxDevice(memory)
    with pytest.raises(Unsupported, match="may not be dereferenced"):
        dax.direct_access(0, 1)


def test_behind_a_bar_a_fault_says_what_was_not_copied() -> None:
    _, memory = behind_a_bar(bad_from=64)
    for call in (
        lambda: memory.write_from(3, bytes(100)),
        lambda: memory.read_into(3, bytearray(100)),
    ):
        with pytest.raises(MediaError) as caught:
            call()
        assert (caught.value.offset, caught.value.size, caught.value.moved) == (64, 39, 61)


def test_a_region_that_is_ram_is_plain() -> None:
    from pymmio.mmio import AccessRule

    memory = memory_of(mapped_region(4096, rule=AccessRule(ram_like=True)))
    assert memory.is_dereferenceable
    memory.write_from(1, b"abc")
    with memory.view(0, 5) as view:
        assert bytes(view) == b"\0abc\0"
        with pytest.raises(BufferBusy):
            memory.close()
    memory.close()


def test_direct_access_is_in_pages() -> None:
    dax = device()
    dax.write_from(PAGE_SIZE, b"second")
    with dax.direct_access(1, 2) as view:
        assert len(view) == 2 * PAGE_SIZE
        assert bytes(view[:6]) == b"second"
        view[0] = ord("S")
    assert dax.read(PAGE_SIZE, 6) == b"Second"
    with pytest.raises(OutOfBounds):
        dax.direct_access(3, 2)


def test_partitions_start_and_end_at_pages() -> None:
    dax = device()
    part = dax.partition(PAGE_SIZE, 2 * PAGE_SIZE)
    part.write_from(0, b"x")
    assert dax.read(PAGE_SIZE, 1) == b"x"
    inner = part.partition(PAGE_SIZE)
    inner.write_from(5, b"y")
    assert dax.read(2 * PAGE_SIZE + 5, 1) == b"y"
    with pytest.raises(OutOfBounds):
        part.write_from(2 * PAGE_SIZE - 1, b"ab")
    for start, size in ((512, PAGE_SIZE), (PAGE_SIZE, 512)):
        with pytest.raises(Misaligned, match="unaligned partition for DAX"):
            dax.partition(start, size)
    part.close()
    dax.read(0, 1)  # a partition closes nothing


def test_persist_asks_whoever_can() -> None:
    flushed: list[str] = []
    memory = PlainMemory(bytearray(PAGE_SIZE), name="m", durability=Durability.FLUSH)
    with pytest.raises(Unsupported, match="by a request only"):
        DaxDevice(memory)
    dax = DaxDevice(memory, persist=lambda: flushed.append("all"))
    assert not dax.synchronous
    dax.persist(0, 10)
    dax.partition(0).persist()
    assert flushed == ["all", "all"]
    with pytest.raises(OutOfBounds):
        dax.persist(PAGE_SIZE, 1)


def test_only_memory_that_is_written_back_is_synchronous() -> None:
    memory = PlainMemory(bytearray(PAGE_SIZE), name="m", durability=Durability.WRITE_BACK)
    assert DaxDevice(memory).synchronous


def test_zero_is_in_pages() -> None:
    dax = device(2)
    dax.write_from(0, b"\xff" * 2 * PAGE_SIZE)
    dax.zero(1, 1)
    assert dax.read(0, 2 * PAGE_SIZE) == b"\xff" * PAGE_SIZE + bytes(PAGE_SIZE)


def test_as_a_file() -> None:
    flushed: list[int] = []
    memory = PlainMemory(bytearray(PAGE_SIZE), name="m", durability=Durability.FLUSH)
    dax = DaxDevice(memory, persist=lambda: flushed.append(1))
    with DaxFile(dax) as file:
        assert file.write(b"hello") == 5
        assert file.tell() == 5
        file.flush()
        file.flush()
        assert flushed == [1], "what is clean is not flushed again"
        assert file.seek(-2, os.SEEK_END) == PAGE_SIZE - 2
        assert file.write(b"abcd") == 2
        with pytest.raises(OSError, match="no space"):
            file.write(b"x")
        file.seek(0)
        assert file.read(5) == b"hello"
        file.seek(PAGE_SIZE)
        assert file.read(10) == b""
        with pytest.raises(ValueError, match="seek"):
            file.seek(-1)
    assert flushed == [1, 1]
    with pytest.raises(ValueError, match="closed"):
        file.tell()


def test_a_file_over_bad_memory_flushes_what_arrived() -> None:
    persisted: list[tuple[int, int]] = []

    class Bad(DaxDevice):
        def write_from(self, offset: int, data, **flags) -> int:
            raise MediaError("bad", offset=offset + 3, size=2, moved=3)

        def persist(self, offset: int = 0, size: int | None = None) -> None:
            persisted.append((offset, size or 0))

    with DaxFile(Bad(PlainMemory(bytearray(PAGE_SIZE), name="m"))) as file:
        file.seek(10)
        with pytest.raises(MediaError):
            file.write(b"hello")
        assert file.tell() == 10
        file.flush()
    assert persisted == [(10, 3)]


def test_as_blocks_in_the_order_that_was_asked_for() -> None:
    events: list[str] = []

    class Noting(DaxDevice):
        def write_from(self, offset: int, data, **flags) -> int:
            events.append("write")
            return super().write_from(offset, data, **flags)

        def persist(self, offset: int = 0, size: int | None = None) -> None:
            events.append("persist")
            super().persist(offset, size)

    blocks = DaxBlocks(Noting(PlainMemory(bytearray(2 * PAGE_SIZE), name="m")))
    assert blocks.block_count == 2 * PAGE_SIZE // 512
    assert blocks.physical_block_size == PAGE_SIZE
    data = os.urandom(2 * LOGICAL_BLOCK)
    blocks.write(3, data, preflush=True, fua=True)
    assert events == ["persist", "write", "persist"]
    assert blocks.read(3, 2) == data
    events.clear()
    blocks.write(0, b"", preflush=True)
    assert events == ["persist"]
    with pytest.raises(Misaligned, match="no whole blocks"):
        blocks.write(0, b"x")
    with pytest.raises(OutOfBounds):
        blocks.read(blocks.block_count, 1)


async def test_with_asyncio() -> None:
    file = AsyncDaxFile(device())
    assert await file.write(10, b"abc") == 3
    await file.persist(10, 3)
    assert await file.read(10, 3) == b"abc"
