from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Iterator

import pytest

from pymmio.arch import BufferBase
from pymmio.dma.allocation import Allocation
from pymmio.dma.memory import SharedMemory
from pymmio.errors import BufferBusy, Closed, DmaError, ForkedObject
from pymmio.handle import Iova

SIZE = mmap.PAGESIZE


def exported(piece: memoryview) -> memoryview:
    """Export a piece as DmaBuffer does; memoryview(piece) would only be a sibling of it."""
    return memoryview(BufferBase(piece))


@pytest.fixture
def allocation() -> Iterator[Allocation]:
    memory = SharedMemory(SIZE)
    allocation = Allocation(memory, Iova(0x5000), threading.RLock())
    yield allocation
    allocation.abandon()
    memory.close()


def test_pieces_are_parts_of_the_memory(allocation: Allocation) -> None:
    allocation.piece(0, SIZE)[10] = 3
    assert allocation.piece(10, 1)[0] == 3


def test_seal_releases_all_pieces(allocation: Allocation) -> None:
    piece = allocation.piece(0, 16)
    allocation.seal()
    with pytest.raises(ValueError, match="released"):
        piece[0]
    with pytest.raises(Closed, match="0x5000"):
        allocation.piece(0, 16)


def test_memory_that_is_held_when_all_is_abandoned_stays_until_it_is_released() -> None:
    memory = SharedMemory(SIZE)
    allocation = Allocation(memory, Iova(0x5000), threading.RLock())
    allocation.hold()
    allocation.hold()
    allocation.abandon()
    memory.close()
    with pytest.raises(Closed):
        allocation.require_usable()
    engine = (ctypes.c_char * SIZE).from_address(memory.address)
    allocation.release()
    engine[0] = b"x"  # an engine in C that has not noticed; without the hold a SIGSEGV
    with pytest.raises(BufferError):
        memory._mapping.close()
    allocation.release()
    memory._mapping.close()
    with pytest.raises(DmaError, match="more often than held"):
        allocation.release()


def test_seal_while_held_raises_and_changes_nothing(allocation: Allocation) -> None:
    piece = allocation.piece(0, 16)
    allocation.hold()
    with pytest.raises(BufferBusy, match="1 operations"):
        allocation.seal()
    assert allocation.is_usable
    piece[0] = 1
    allocation.release()
    allocation.seal()


def test_seal_while_a_piece_is_exported_keeps_the_allocation_usable(
    allocation: Allocation,
) -> None:
    export = exported(allocation.piece(0, 16))
    with pytest.raises(BufferBusy, match="memoryviews"):
        allocation.seal()
    assert allocation.piece(0, 1)[0] == 0
    export.release()
    allocation.seal()


def test_a_piece_that_only_an_export_keeps_alive_still_blocks_seal(
    allocation: Allocation,
) -> None:
    export = exported(allocation.piece(0, 16))  # the piece itself is referenced nowhere else
    with pytest.raises(BufferBusy):
        allocation.seal()
    export[0] = 1
    export.release()


def test_release_without_hold_raises(allocation: Allocation) -> None:
    with pytest.raises(DmaError, match="more often"):
        allocation.release()


def test_release_after_abandon_is_fine(allocation: Allocation) -> None:
    allocation.hold()
    allocation.abandon()
    allocation.release()
    with pytest.raises(Closed):
        allocation.hold()


def test_abandon_leaves_exports_valid(allocation: Allocation) -> None:
    export = exported(allocation.piece(0, 16))
    allocation.abandon()
    export[0] = 9
    assert bytes(export[:1]) == b"\x09"


def test_after_fork_every_use_names_the_parent(allocation: Allocation) -> None:
    allocation.after_fork(threading.RLock())
    with pytest.raises(ForkedObject, match="parent"):
        allocation.hold()
