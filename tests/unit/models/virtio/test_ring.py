"""The device's side of rings against drivers that break the rules (virtio 1.2 §2.7, §2.8)."""

from __future__ import annotations

import struct

import pytest

from pymmio.errors import IommuFault
from pymmio.models.virtio.ring import Chain, PackedRing, RingError, SplitRing
from tests.unit.models.fake_host import FakeHost

BASE, SIZE = 0x10000, 4
TABLE, DRIVER, DEVICE, INDIRECT_TABLE = 0, 0x100, 0x200, 0x300
NEXT, WRITE, INDIRECT, AVAIL, USED = 1, 2, 4, 1 << 7, 1 << 15


class Driver:
    """Writes rings byte by byte."""

    def __init__(self, kind: type[SplitRing] | type[PackedRing], **features: bool) -> None:
        self.host = FakeHost()
        self.memory = self.host.map(BASE, 0x100000)
        asked = {"has_event_idx": False, "has_indirect": True, **features}
        self.ring = kind(self.host, SIZE, BASE + TABLE, BASE + DRIVER, BASE + DEVICE, **asked)

    def desc(self, at: int, iova: int, size: int, third: int, fourth: int, table: int = TABLE):
        struct.pack_into("<QIHH", self.memory, table + 16 * at, iova, size, third, fourth)

    def available(self, *heads: int, idx: int | None = None) -> None:
        for place, head in enumerate(heads):
            struct.pack_into("<H", self.memory, DRIVER + 4 + 2 * place, head)
        struct.pack_into("<H", self.memory, DRIVER + 2, len(heads) if idx is None else idx)


@pytest.fixture
def split() -> Driver:
    return Driver(SplitRing)


@pytest.fixture
def packed() -> Driver:
    return Driver(PackedRing)


def test_split_nothing_is_there(split: Driver) -> None:
    assert split.ring.pop() is None


def test_split_a_chain(split: Driver) -> None:
    split.desc(2, 0x1000, 8, NEXT, 0)
    split.desc(0, 0x2000, 16, NEXT | WRITE, 3)
    split.desc(3, 0x3000, 32, WRITE, 0xFFFF)
    split.available(2)
    assert split.ring.pop() == Chain(2, 1, ((0x1000, 8),), ((0x2000, 16), (0x3000, 32)))
    assert split.ring.pop() is None


@pytest.mark.parametrize("idx", [5, 0x8000, 0xFFFF])
def test_split_an_index_too_far_ahead(split: Driver, idx: int) -> None:
    split.available(idx=idx)
    with pytest.raises(RingError, match="ahead in a ring of 4"):
        split.ring.pop()


@pytest.mark.parametrize("head", [4, 0xFFFF])
def test_split_a_head_outside_the_table(split: Driver, head: int) -> None:
    split.available(head)
    with pytest.raises(RingError, match="in a table of 4"):
        split.ring.pop()


def test_split_a_next_outside_the_table(split: Driver) -> None:
    split.desc(0, 0x1000, 8, NEXT, 4)
    split.available(0)
    with pytest.raises(RingError, match="descriptor 4 in a table of 4"):
        split.ring.pop()


@pytest.mark.parametrize("loop", [(0,), (1, 0), (1, 2, 3, 0), (1, 2, 1)])
def test_split_a_loop(split: Driver, loop: tuple[int, ...]) -> None:
    for at, following in enumerate(loop):
        split.desc(at, 0x1000, 8, NEXT, following)
    split.available(0)
    with pytest.raises(RingError, match="a loop"):
        split.ring.pop()


def _indirect_split(driver: Driver, size: int, flags: int = INDIRECT) -> None:
    driver.desc(0, BASE + INDIRECT_TABLE, size, flags, 0)
    driver.available(0)


def _indirect_packed(driver: Driver, size: int, flags: int = INDIRECT) -> None:
    driver.desc(0, BASE + INDIRECT_TABLE, size, 0, flags | AVAIL)


TABLES = [(SplitRing, _indirect_split), (PackedRing, _indirect_packed)]
both = pytest.mark.parametrize(("kind", "make"), TABLES, ids=["split", "packed"])


@both
@pytest.mark.parametrize("size", [0, 8, 17, 16 * 32769, 0xFFFF_FFF0])
def test_an_indirect_table_of_impossible_size(kind, make, size: int) -> None:
    driver = Driver(kind)
    driver.desc(0, 0x1000, 8, NEXT if kind is SplitRing else 0, 0, INDIRECT_TABLE)  # a loop, too
    make(driver, size)
    reads = driver.host.reads
    with pytest.raises(RingError, match="indirect"):
        driver.ring.pop()
    assert driver.host.reads < reads + 10  # nobody walks through 2^28 descriptors


@both
def test_an_indirect_table_that_was_not_negotiated_or_goes_on(kind, make) -> None:
    driver = Driver(kind, has_indirect=False)
    make(driver, 16)
    with pytest.raises(RingError, match="indirect"):
        driver.ring.pop()
    driver = Driver(kind)
    make(driver, 16, INDIRECT | NEXT)
    with pytest.raises(RingError, match="indirect"):
        driver.ring.pop()


@both
def test_an_indirect_table_inside_one(kind, make) -> None:
    driver = Driver(kind)
    make(driver, 16)
    flags = (INDIRECT, 0) if kind is SplitRing else (0, INDIRECT)
    driver.desc(0, BASE, 16, *flags, INDIRECT_TABLE)
    with pytest.raises(RingError, match="inside"):
        driver.ring.pop()


def test_an_indirect_table_behind_another_descriptor(split: Driver, packed: Driver) -> None:
    split.desc(0, 0x1000, 8, NEXT, 1)
    split.desc(1, BASE + INDIRECT_TABLE, 16, INDIRECT, 0)
    split.available(0)
    packed.desc(0, 0x1000, 8, 0, AVAIL | NEXT)
    packed.desc(1, BASE + INDIRECT_TABLE, 16, 0, AVAIL | INDIRECT)
    for driver in (split, packed):
        with pytest.raises(RingError, match="inside a chain"):
            driver.ring.pop()


@pytest.mark.parametrize("kind", [SplitRing, PackedRing])
def test_what_is_read_stands_before_what_is_written(kind) -> None:
    driver = Driver(kind)
    if kind is SplitRing:
        driver.desc(0, 0x1000, 8, NEXT | WRITE, 1)
        driver.desc(1, 0x1000, 8, 0, 0)
        driver.available(0)
    else:
        driver.desc(0, 0x1000, 8, 0, AVAIL | NEXT | WRITE)
        driver.desc(1, 0x1000, 8, 0, AVAIL)
    with pytest.raises(RingError, match="stands behind one to write"):
        driver.ring.pop()


def test_packed_a_list_longer_than_the_ring(packed: Driver) -> None:
    for at in range(SIZE):
        packed.desc(at, 0x1000, 8, 0, AVAIL | NEXT)
    with pytest.raises(RingError, match="more than 4"):
        packed.ring.pop()


@pytest.mark.parametrize("flags", [0, USED, AVAIL | USED])
def test_packed_what_is_not_available(packed: Driver, flags: int) -> None:
    packed.desc(0, 0x1000, 8, 0, flags)
    assert packed.ring.pop() is None


@both
def test_tables_that_the_driver_may_not_reach(kind, make) -> None:
    driver = Driver(kind)
    make(driver, 16)
    struct.pack_into("<Q", driver.memory, TABLE, 0xDEAD_0000)
    with pytest.raises(IommuFault):
        driver.ring.pop()


def test_used_buffers_as_bytes(split: Driver, packed: Driver) -> None:
    split.desc(1, 0x1000, 8, WRITE, 0)
    split.available(1)
    chain = split.ring.pop()
    assert chain is not None
    split.ring.push(chain, 5)
    used = bytes(split.memory[DEVICE : DEVICE + 12])
    assert used == bytes.fromhex("0000 0100 01000000 05000000")  # flags, idx, id, len (§2.7.8)
    packed.desc(0, 0x1000, 8, 3, AVAIL | WRITE)
    chain = packed.ring.pop()
    assert chain is not None
    packed.ring.push(chain, 5)
    # addr stays; len, id, flags: AVAIL, USED, WRITE (§2.8.1, §2.8.4)
    assert bytes(packed.memory[8:16]) == bytes.fromhex("05000000 0300 8280")
