"""The queue engine against the bytes of the specification (virtio 1.2 §2.7 split, §2.8 packed)."""

from __future__ import annotations

import struct
import threading

import pytest

from pymmio.errors import AccessFault, BadArgument, Closed
from pymmio.testing import mapped_region
from pymmio.virtio.queue.engine import Engine, Piece
from pymmio.virtio.queue.layout import QueueLayout
from tests.property.virtio.rig import RING_IOVA, PlainMemory

NEXT, WRITE, INDIRECT = 1, 2, 4  # §2.7.5, §2.8.14
AVAIL, USED = 1 << 7, 1 << 15  # §2.8.1
A, B, C = Piece(0x1000, 0x10), Piece(0x2_0000_0000, 0x20), Piece(0x3000, 0x30)


class Ring:
    """An engine over plain bytes."""

    def __init__(self, size: int = 4, *, packed: bool = False, event: bool = False, table: int = 0):
        self.layout = QueueLayout.of(size, is_packed=packed, indirect_max=table)
        self.memory = PlainMemory(self.layout.total)
        self.bell = mapped_region(4096)
        self.doorbell = self.bell.doorbell(0, 2)
        self.engine = Engine(
            7,
            self.layout,
            address=self.memory.address,
            iova=RING_IOVA,
            doorbell=self.doorbell,
            has_event_idx=event,
        )

    def desc(self, at: int, table: int = 0) -> tuple[int, int, int, int]:
        """Return a descriptor: address, length, and the two 16-bit fields as they lie."""
        found: tuple[int, int, int, int] = struct.unpack_from(
            "<QIHH", self.memory.bytes, table + 16 * at
        )
        return found

    def driver(self, form: str, at: int = 0) -> tuple[int, ...]:
        return struct.unpack_from("<" + form, self.memory.bytes, self.layout.driver + at)

    def device(self, form: str, at: int, *values: int) -> None:
        struct.pack_into("<" + form, self.memory.bytes, self.layout.device + at, *values)


def test_split_a_chain() -> None:  # struct virtq_desc: addr, len, flags, next
    ring = Ring()
    assert ring.engine.add([A], [B, C]) == 0
    assert ring.desc(0) == (A.iova, A.size, NEXT, 1)
    assert ring.desc(1) == (B.iova, B.size, NEXT | WRITE, 2)
    assert ring.desc(2) == (C.iova, C.size, WRITE, 0)
    assert ring.driver("HHH") == (0, 1, 0)  # struct virtq_avail: flags, idx, ring[0]
    assert ring.engine.add([A], []) == 3
    assert ring.desc(3) == (A.iova, A.size, 0, 0)
    assert ring.driver("HHHH") == (0, 2, 0, 3)


def test_split_an_indirect_table() -> None:  # §2.7.5.3
    ring = Ring(table=4)
    ring.engine.add([A], [])  # one piece needs no table
    assert ring.desc(0) == (A.iova, A.size, 0, 0)
    assert ring.engine.add([A, B], [C]) == 1
    at = ring.layout.indirect + 4 * 16
    assert ring.desc(1) == (RING_IOVA + at, 3 * 16, INDIRECT, 0)
    assert ring.desc(0, at) == (A.iova, A.size, NEXT, 1)
    assert ring.desc(1, at) == (B.iova, B.size, NEXT, 2)
    assert ring.desc(2, at) == (C.iova, C.size, WRITE, 0)
    assert ring.engine.space() == 2


def test_packed_a_list_and_the_wrap() -> None:  # struct pvirtq_desc: addr, len, id, flags
    ring = Ring(packed=True)
    assert ring.engine.add([A, B], [C]) == 0
    assert ring.desc(0) == (A.iova, A.size, 0, AVAIL | NEXT)
    assert ring.desc(1) == (B.iova, B.size, 0, AVAIL | NEXT)
    assert ring.desc(2) == (C.iova, C.size, 0, AVAIL | WRITE)
    struct.pack_into("<QIHH", ring.memory.bytes, 0, 0, 5, 0, AVAIL | USED)  # the device used it
    assert ring.engine.reap() == ([(0, 5)], None)
    assert ring.engine.position() == (3, 3)
    second = ring.engine.add([A], [B])  # one at the end, one in the next pass of the ring
    assert second is not None
    assert ring.desc(3) == (A.iova, A.size, second, AVAIL | NEXT)
    assert ring.desc(0) == (B.iova, B.size, second, USED | WRITE)


def test_packed_an_indirect_table() -> None:  # §2.8.8: in the table only WRITE means anything
    ring = Ring(packed=True, table=4)
    assert ring.engine.add([A], [B, C]) == 0
    at = ring.layout.indirect
    assert ring.desc(0) == (RING_IOVA + at, 3 * 16, 0, AVAIL | INDIRECT)
    assert ring.desc(0, at) == (A.iova, A.size, 0, 0)
    assert ring.desc(1, at) == (B.iova, B.size, 0, WRITE)
    assert ring.desc(2, at) == (C.iova, C.size, 0, WRITE)
    assert ring.engine.space() == 3


def test_split_wishes_for_interrupts() -> None:  # §2.7.6, §2.7.7
    ring = Ring()
    ring.engine.interrupts(False)
    assert ring.driver("H") == (1,)
    ring.engine.interrupts(True)
    assert ring.driver("H") == (0,)
    ring = Ring(event=True)
    used_event = 4 + 2 * 4
    ring.engine.interrupts(False)
    assert ring.driver("H") + ring.driver("H", used_event) == (0, 0xFFFF)
    ring.engine.interrupts(True)
    assert ring.driver("H") + ring.driver("H", used_event) == (0, 0)


def test_packed_wishes_for_interrupts() -> None:  # §2.8.10: off_wrap, flags
    ring = Ring(packed=True)
    assert ring.driver("HH") == (0, 0)
    ring.engine.interrupts(False)
    assert ring.driver("HH")[1] == 1
    ring = Ring(packed=True, event=True)
    assert ring.driver("HH") == (0x8000, 2)


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_kicks_are_what_the_device_asks_for(packed: bool) -> None:
    ring = Ring(packed=packed)
    assert ring.engine.kick() is False  # nothing is new
    ring.engine.add([A], [])
    assert ring.engine.kick() is True
    assert ring.bell.read16(0) == 7
    if packed:
        ring.device("HH", 0, 0, 1)  # RING_EVENT_FLAGS_DISABLE
    else:
        ring.device("H", 0, 1)  # VIRTQ_USED_F_NO_NOTIFY
    ring.engine.add([A], [])
    assert ring.engine.kick() is False
    assert ring.engine.kicks == (1, 1)
    assert ring.engine.kick(force=True) is True


def test_split_kicks_by_index() -> None:  # §2.7.10: idx passes avail_event
    ring = Ring(event=True)
    avail_event = 4 + 8 * 4
    for wished, kicked in ((0, True), (0, False), (3, False), (3, True)):
        ring.device("H", avail_event, wished)
        ring.engine.add([A], [])
        assert ring.engine.kick() is kicked


def test_packed_kicks_by_place() -> None:  # §2.8.10: off_wrap of RING_EVENT_FLAGS_DESC
    ring = Ring(packed=True, event=True)
    for place, wrap, kicked in ((0, 1, True), (0, 1, False), (3, 1, False), (3, 1, True)):
        ring.device("HH", 0, place | wrap << 15, 2)
        ring.engine.add([A], [])
        assert ring.engine.kick() is kicked


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize(
    ("readable", "writable"),
    [
        ([], []),
        ([A] * 5, []),
        ([A] * 3, [A] * 2),
        ([Piece(0, 0)], []),
        ([A], [Piece(0, 0)]),
        ([Piece(0, 0xFFFF_FFFF), Piece(0, 2)], []),
    ],
    ids=["nothing", "5 of 4", "3 + 2", "empty", "empty at the end", "4 GiB and 1"],
)
def test_what_never_fits_changes_nothing(packed: bool, readable, writable) -> None:
    ring = Ring(packed=packed)
    before = bytes(ring.memory.bytes)
    for refuse in (ring.engine.add, ring.engine.check):
        with pytest.raises(BadArgument, match="in more pieces"):
            refuse(readable, writable)
    assert bytes(ring.memory.bytes) == before
    assert ring.engine.space() == 4
    assert ring.engine.add([Piece(0, 0xFFFF_FFFF), Piece(0, 1)], []) == 0  # 4 GiB


def test_a_full_ring_is_no_error() -> None:
    ring = Ring()
    ring.engine.add([A, A, A], [])
    assert ring.engine.add([A, A], []) is None
    ring.engine.check([A, A, A, A], [])
    assert ring.engine.add([A], []) is not None
    assert ring.engine.add([A], []) is None


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_a_doorbell_that_fails_is_an_exception(packed: bool) -> None:
    ring = Ring(packed=packed)
    ring.engine.add([A], [])
    ring.doorbell.close()
    with pytest.raises(Closed, match="doorbell"):
        ring.engine.kick()
    with pytest.raises((Closed, AccessFault)):  # and stays one
        ring.engine.add([A], [])
    ring.engine.clear()
    assert ring.engine.add([A], []) == 0


@pytest.mark.parametrize("size", [0, 3, 32769, 65536])
def test_sizes_that_no_ring_has(size: int) -> None:
    with pytest.raises(BadArgument):
        Ring(size)


def test_closing_wakes_who_looks() -> None:
    ring = Ring()
    found: list[bool | None] = []
    is_looking = threading.Event()

    def look() -> None:
        while True:
            is_looking.set()
            found.append(ring.engine.wait(ring.engine.events(), 0.02))
            if found[-1] is None:
                return

    thread = threading.Thread(target=look)
    thread.start()
    assert is_looking.wait(10.0)
    ring.engine.close()
    thread.join(10.0)
    assert not thread.is_alive()
    assert ring.engine.users() == 0
    with pytest.raises(Closed):
        ring.engine.add([A], [])


def test_waking_makes_who_waits_look_again() -> None:
    ring = Ring()
    events = ring.engine.events()
    assert ring.engine.wait(events, 0.0) is False
    ring.engine.wake()
    assert ring.engine.wait(events, 10.0) is True
    assert ring.engine.wait(ring.engine.events(), 0.0) is False
