"""PRP entries and lists (Base 1.4 §4.3)."""

from __future__ import annotations

import os
import struct

import pytest

from pymmio.errors import IommuFault
from pymmio.models.nvme.prp import walk
from pymmio.models.nvme.status import CommandError

from .fake_host import FakeHost
from .nvme_driver import SUCCESS, Driver

PAGE = 4096
MEMORY = 0x10_0000


@pytest.fixture
def host() -> FakeHost:
    host = FakeHost()
    host.map(MEMORY, 4 << 20)
    return host


def put_list(host: FakeHost, iova: int, entries: list[int]) -> int:
    memory = host.ranges[MEMORY]
    memory[iova - MEMORY : iova - MEMORY + 8 * len(entries)] = struct.pack(
        f"<{len(entries)}Q", *entries
    )
    return iova


@pytest.mark.parametrize(
    ("prp1", "prp2", "size", "expected"),
    [
        (0x1000, 0, 512, [(0x1000, 512)]),
        (0x1000, 0, 4096, [(0x1000, 4096)]),
        (0x1FFC, 0, 4, [(0x1FFC, 4)]),
        (0x1000, 0x2000, 4097, [(0x1000, 4097)]),
        (0x1000, 0x9000, 8192, [(0x1000, 4096), (0x9000, 4096)]),
        (0x1E00, 0x9000, 4096, [(0x1E00, 512), (0x9000, 3584)]),
    ],
)
def test_one_and_two_entries(
    host: FakeHost, prp1: int, prp2: int, size: int, expected: list[tuple[int, int]]
) -> None:
    assert walk(host, prp1, prp2, size, PAGE) == expected
    assert host.reads == 0


def test_a_list_with_neighbours_merged(host: FakeHost) -> None:
    at = put_list(host, MEMORY, [0x2000, 0x3000, 0x8000, 0x9000, 0x5000])
    assert walk(host, 0x1800, at, 2048 + 4 * PAGE + 100, PAGE) == [
        (0x1800, 2048 + 2 * PAGE),
        (0x8000, 2 * PAGE),
        (0x5000, 100),
    ]
    assert host.reads == 1


def test_a_list_may_start_inside_a_page_and_goes_on_where_its_last_entry_says(
    host: FakeHost,
) -> None:
    second = put_list(host, MEMORY + PAGE, [0x50000, 0x60000])
    at = put_list(host, MEMORY + PAGE - 16, [0x40000])
    put_list(host, MEMORY + PAGE - 8, [second])
    assert walk(host, 0x1000, at, 4 * PAGE, PAGE) == [
        (0x1000, PAGE),
        (0x40000, PAGE),
        (0x50000, PAGE),
        (0x60000, PAGE),
    ]


def test_the_last_entry_of_a_page_is_data_if_nothing_follows(host: FakeHost) -> None:
    at = put_list(host, MEMORY + PAGE - 16, [0x40000, 0x50000])
    assert walk(host, 0x1000, at, 3 * PAGE, PAGE)[-1] == (0x50000, PAGE)


@pytest.mark.parametrize("pages", [511, 512, 513, 1022, 1023, 1024, 1025, 1600])
def test_long_lists_are_chained(pages: int) -> None:
    driver = Driver(size="16M", mdts="16", memory=16 << 20)
    data = os.urandom(512 * 8) * pages
    base = driver.alloc(len(data))
    chosen = [base + PAGE * i for i in range(pages)]
    chosen[1::2] = reversed(chosen[1::2])
    driver.poke(base, data)
    fields = driver.prps(chosen)
    assert driver.submit_io(0x01, blocks=8 * pages, **fields).status == SUCCESS
    driver.poke(base, bytes(len(data)))
    assert driver.submit_io(0x02, blocks=8 * pages, **fields).status == SUCCESS
    assert driver.peek(base, len(data)) == data


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_prp1_is_dword_aligned(host: FakeHost, offset: int) -> None:
    with pytest.raises(CommandError) as error:
        walk(host, 0x1000 + offset, 0, 512, PAGE)
    assert error.value.status & 0x7FF == 0x13


@pytest.mark.parametrize("prp2", [0x2004, 0x2800, 0x2FFF])
def test_prp2_of_two_pages_has_no_offset(host: FakeHost, prp2: int) -> None:
    with pytest.raises(CommandError):
        walk(host, 0x1000, prp2, 8192, PAGE)


@pytest.mark.parametrize("offset", [4, 1, 2])
def test_a_list_is_qword_aligned(host: FakeHost, offset: int) -> None:
    with pytest.raises(CommandError):
        walk(host, 0x1000, MEMORY + offset, 3 * PAGE, PAGE)


def test_the_address_of_a_further_list_page_has_no_offset(host: FakeHost) -> None:
    at = put_list(host, MEMORY + PAGE - 8, [MEMORY + 2 * PAGE + 8])
    with pytest.raises(CommandError):
        walk(host, 0x1000, at, 3 * PAGE, PAGE)


def test_a_list_that_points_to_itself_ends(host: FakeHost) -> None:
    size = 64 << 20
    at = put_list(host, MEMORY, [MEMORY] * 512)
    segments = walk(host, MEMORY, at, size, PAGE)
    assert sum(length for _, length in segments) == size
    assert host.reads <= size // (511 * PAGE) + 1


def test_a_list_that_is_not_mapped_is_a_fault(host: FakeHost) -> None:
    with pytest.raises(IommuFault):
        walk(host, 0x1000, 0xDEAD_0000, 3 * PAGE, PAGE)
