"""Doorbells in shared memory, without any protocol around them."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Iterator

import pytest

from pymmio.backend.model import BarSpec
from pymmio.backend.served import SharedDoorbells, mappable_doorbells
from pymmio.handle import MappedArea
from pymmio.models.nvme import NvmeModel
from tests.unit.backend.sim.rig import Rig

PAGE = 0x1000
BELLS = (MappedArea(PAGE, 2 * PAGE),)


class Bells(Rig):
    """Doorbells from 0x1000 to 0x3000 of BAR0 and in all of BAR4."""

    bars = (
        BarSpec(0, 0x4000, doorbells=BELLS),
        BarSpec(4, PAGE, doorbells=(MappedArea(0, PAGE),)),
    )
    msix_bar = 0
    msix_offset = 3 * PAGE


@pytest.fixture
def bells() -> Iterator[tuple[SharedDoorbells, dict[int, mmap.mmap]]]:
    model = Bells()
    found = SharedDoorbells("bells", model, mappable_doorbells(model, PAGE))
    mapped = {bar: mmap.mmap(found.file_of(bar), size) for bar, size in ((0, 0x4000), (4, PAGE))}
    yield found, mapped
    for one in mapped.values():
        one.close()
    found.close()


def store(memory: mmap.mmap, offset: int, value: int) -> None:
    memoryview(memory)[offset : offset + 4] = value.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("table", "page", "areas"),
    [
        (3 * PAGE, PAGE, [MappedArea(PAGE, 2 * PAGE)]),
        (2 * PAGE, PAGE, [MappedArea(PAGE, PAGE)]),
        (PAGE, PAGE, [MappedArea(2 * PAGE, PAGE)]),
        (2 * PAGE - 8, PAGE, None),
        (3 * PAGE, 4 * PAGE, None),
        (0x20, 2 * PAGE, None),
        (0x20, PAGE, [MappedArea(PAGE, 2 * PAGE)]),
    ],
)
def test_whole_pages_without_the_msix_table_can_be_mapped(
    table: int, page: int, areas: list[MappedArea] | None
) -> None:
    model = Bells()
    model.msix_offset = table
    model.bars = model.bars[:1]
    assert mappable_doorbells(model, page).get(0) == areas


def test_a_table_between_doorbells_leaves_those_around_it() -> None:
    model = Bells()
    model.bars = (BarSpec(0, 0x4000, doorbells=(MappedArea(0, 0x4000),)),)
    model.msix_offset = PAGE
    assert mappable_doorbells(model, PAGE) == {
        0: [MappedArea(0, PAGE), MappedArea(2 * PAGE, 2 * PAGE)]
    }


def test_more_than_can_be_polled_is_not_offered() -> None:
    few, many = NvmeModel(size="1M"), NvmeModel(size="1M", dstrd=12)
    assert mappable_doorbells(few, PAGE) == {0: [MappedArea(PAGE, PAGE)]}
    assert mappable_doorbells(many, PAGE) == {}
    few.close()
    many.close()


def test_what_is_stored_is_taken_once_low_offsets_first(bells) -> None:
    found, mapped = bells
    assert found.take() == []
    store(mapped[4], 0, 4)
    store(mapped[0], 3 * PAGE - 4, 3)
    store(mapped[0], PAGE, 0)
    store(mapped[0], PAGE + 4, 0x01020304)
    assert found.take() == [
        (0, PAGE, 0),
        (0, PAGE + 4, 0x01020304),
        (0, 3 * PAGE - 4, 3),
        (4, 0, 4),
    ]
    assert found.take() == []


def test_the_last_of_several_stores_counts_also_if_it_repeats_the_first(bells) -> None:
    found, mapped = bells
    for value in (1, 2, 1):
        store(mapped[0], PAGE, value)
    assert found.take() == [(0, PAGE, 1)]
    store(mapped[0], PAGE, 1)
    assert found.take() == [(0, PAGE, 1)]


def test_what_is_no_doorbell_is_not_looked_at(bells) -> None:
    found, mapped = bells
    store(mapped[0], 0, 1)
    store(mapped[0], 3 * PAGE, 1)
    assert found.take() == []


def test_clearing_forgets(bells) -> None:
    found, mapped = bells
    store(mapped[0], PAGE, 1)
    found.clear()
    assert found.take() == []


def test_waiting_ends_with_a_store_a_descriptor_or_the_time(bells) -> None:
    found, mapped = bells
    event = os.eventfd(0, os.EFD_NONBLOCK)
    often = {"spin_s": 0.0001, "pauses_s": (0.0001, 0.001)}
    assert found.wait([event], timeout_s=0.01, **often) == []
    assert found.take() == []
    os.eventfd_write(event, 1)
    assert found.wait([event], timeout_s=30, **often) == [event]
    os.eventfd_read(event)
    ringing = threading.Timer(0.02, store, (mapped[0], PAGE, 7))
    ringing.start()
    before = time.monotonic()
    assert found.wait([event], timeout_s=30, **often) == []
    assert time.monotonic() - before < 20
    assert found.take() == [(0, PAGE, 7)]
    ringing.join()
    os.close(event)


def test_nothing_stored_by_another_thread_is_lost(bells) -> None:
    """Each value is taken, or was overtaken by a later one to the same word."""
    found, mapped = bells
    last = 20_000

    def ring() -> None:
        for value in range(1, last + 1):
            store(mapped[0], PAGE + 4 * (value % 2), value)

    thread = threading.Thread(target=ring)
    thread.start()
    seen: dict[int, list[int]] = {0: [], 1: []}
    deadline = time.monotonic() + 60
    while last not in seen[0] or last - 1 not in seen[1]:
        assert time.monotonic() < deadline
        for _, offset, value in found.take():
            seen[(offset - PAGE) // 4].append(value)
    thread.join()
    for values in seen.values():
        assert values == sorted(set(values))


def test_closing_again_is_fine_and_others_keep_their_memory(bells) -> None:
    found, mapped = bells
    found.close()
    found.close()
    store(mapped[0], PAGE, 1)
    assert found.take() == []
