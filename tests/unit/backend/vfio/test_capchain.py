from __future__ import annotations

import struct

import pytest

from pymmio.backend.vfio.capchain import Capability, ask, capabilities, read_pairs
from pymmio.errors import ProtocolError
from tests.unit.backend.vfio.fake_kernel import cap, pairs, with_caps

LAYOUT = struct.Struct("=IIII")
FIXED = LAYOUT.size


def chain(*caps: tuple[int, int, bytes]) -> bytes:
    return with_caps(bytes(FIXED), 12, list(caps))


def walk(answer: bytes, first: int = FIXED) -> list[Capability]:
    return list(capabilities(answer, first, FIXED, "test"))


def test_no_chain_gives_nothing() -> None:
    assert walk(bytes(FIXED), 0) == []


def test_a_chain_is_walked_in_order() -> None:
    found = walk(chain(cap(1, 1, b"12345678"), cap(9, 2, b""), cap(3, 1, b"87654321")))
    assert [(c.id, c.version) for c in found] == [(1, 1), (9, 2), (3, 1)]
    assert [c.body for c in found] == [b"12345678", b"", b"87654321"]


def test_a_chain_that_points_at_itself_is_refused() -> None:
    answer = bytearray(chain(cap(1, 1, b"")))
    struct.pack_into("=I", answer, FIXED + 4, FIXED)
    with pytest.raises(ProtocolError, match="0x10"):
        walk(bytes(answer))


def test_a_chain_that_runs_backwards_is_refused() -> None:
    answer = bytearray(chain(cap(1, 1, bytes(8)), cap(2, 1, bytes(8)), cap(3, 1, b"")))
    struct.pack_into("=I", answer, FIXED + 2 * 16 + 4, FIXED + 16)
    with pytest.raises(ProtocolError):
        walk(bytes(answer))


@pytest.mark.parametrize("first", [1, FIXED - 1, FIXED + 1, FIXED + 8, 1 << 31])
def test_a_first_offset_outside_is_refused(first: int) -> None:
    with pytest.raises(ProtocolError):
        walk(chain(cap(1, 1, b"")), first)


def test_a_next_offset_behind_the_end_is_refused() -> None:
    answer = bytearray(chain(cap(1, 1, b"")))
    struct.pack_into("=I", answer, FIXED + 4, 0x1000)
    with pytest.raises(ProtocolError):
        walk(bytes(answer))


def test_pairs_are_read() -> None:
    assert read_pairs(Capability(1, 1, pairs((1, 2), (3, 4))), "t") == ((1, 2), (3, 4))
    assert read_pairs(Capability(1, 1, pairs()), "t") == ()


@pytest.mark.parametrize("count", [2, 1000, 0xFFFF_FFFF])
def test_more_pairs_announced_than_there_is_refused(count: int) -> None:
    body = struct.pack("=II", count, 0) + bytes(16)
    with pytest.raises(ProtocolError, match=str(count)):
        read_pairs(Capability(1, 1, body), "t")


def test_a_list_without_its_header_is_refused() -> None:
    with pytest.raises(ProtocolError):
        read_pairs(Capability(1, 1, b"1234"), "t")


class OneAnswer:
    """Answers every ioctl with the same bytes, as far as there is room, and their size."""

    def __init__(self, answer: bytes, announced: int | None = None) -> None:
        self.answer = answer
        self.announced = len(answer) if announced is None else announced
        self.rooms: list[int] = []

    def ioctl(self, fd: int, request: int, argument: bytearray) -> int:
        self.rooms.append(struct.unpack_from("=I", argument)[0])
        assert self.rooms[-1] == len(argument)
        argument[:] = self.answer[: len(argument)].ljust(len(argument), b"\0")
        struct.pack_into("=I", argument, 0, self.announced)
        return 0


def test_ask_asks_again_with_the_room_that_is_wanted() -> None:
    kernel = OneAnswer(bytes(FIXED) + b"chain")
    assert ask(kernel, 3, 0, LAYOUT, 0, 0, 0)[FIXED:] == b"chain"  # type: ignore[arg-type]
    assert kernel.rooms == [FIXED, FIXED + 5]


def test_ask_refuses_an_absurd_size() -> None:
    kernel = OneAnswer(bytes(FIXED), announced=1 << 31)
    with pytest.raises(ProtocolError, match=str(1 << 31)):
        ask(kernel, 3, 0, LAYOUT, 0, 0, 0)  # type: ignore[arg-type]
    assert kernel.rooms == [FIXED]
