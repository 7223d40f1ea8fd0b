"""Whatever VFIO answers, the outcome is sane regions and ranges, or ProtocolError."""

from __future__ import annotations

import ctypes
import errno
import struct
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.capchain import capabilities
from pymmio.backend.vfio.iommu_type1 import read_iommu_info
from pymmio.backend.vfio.iommufd import IoasDma
from pymmio.backend.vfio.region_info import read_region
from pymmio.errors import ProtocolError
from tests.unit.backend.vfio.fake_kernel import cap, with_caps


class Answers:
    """A kernel that answers each information ioctl with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def ioctl(self, fd: int, request: int, argument: bytearray) -> int:
        argument[:] = self.answer[: len(argument)].ljust(len(argument), b"\0")
        struct.pack_into("=I", argument, 0, max(len(self.answer), len(argument)))
        return 0


# Small numbers point into the answer, large ones far away.
words = st.one_of(st.integers(0, 80), st.integers(0, 0xFFFF_FFFF))
bodies = st.binary(max_size=48)
caps = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), bodies).map(lambda c: cap(*c)), max_size=4
)


@given(st.binary(max_size=200), words, st.integers(0, 64))
def test_walking_any_bytes_ends(answer: bytes, first: int, header: int) -> None:
    try:
        found = list(capabilities(answer, first, header, "test"))
    except ProtocolError:
        return
    assert len(found) * uapi.CAP_HEADER.size <= len(answer)
    assert all(len(c.body) <= len(answer) for c in found)


@given(st.integers(0, 15), words, st.integers(0, (1 << 64) - 1), bodies, caps, st.booleans())
def test_any_region_answer(
    flags: int,
    cap_offset: int,
    size: int,
    tail: bytes,
    chain: list[tuple[int, int, bytes]],
    proper: bool,
) -> None:
    fixed = struct.pack("=IIIIQQ", 32, flags, 0, cap_offset, size, 0)
    answer = with_caps(fixed, 12, chain) if proper else fixed + tail
    try:
        record = read_region(Answers(answer), 3, 0)  # type: ignore[arg-type]
    except ProtocolError:
        return
    if record is None:
        assert size == 0
        return
    end = 0
    for area in record.info.mappable:
        assert area.size > 0
        assert end <= area.offset
        end = area.offset + area.size
    assert end <= record.info.size


@given(words, words, st.integers(1, (1 << 64) - 1), bodies, caps, st.booleans())
def test_any_iommu_answer(
    flags: int,
    cap_offset: int,
    page_sizes: int,
    tail: bytes,
    chain: list[tuple[int, int, bytes]],
    proper: bool,
) -> None:
    fixed = struct.pack("=IIQII", 24, flags | 1, page_sizes, cap_offset, 0)
    answer = with_caps(fixed, 16, chain) if proper else fixed + tail
    try:
        info = read_iommu_info(Answers(answer), 3)  # type: ignore[arg-type]
    except ProtocolError:
        return
    assert sum(info.page_sizes) == page_sizes
    last = -1
    for r in info.ranges:
        assert last < r.first <= r.last
        last = r.last


@given(
    st.lists(st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1)), max_size=20),
    st.integers(0, 40) | words,
    st.integers(0, 1 << 64) | st.integers(0, 63).map(lambda bit: 1 << bit),
    st.booleans(),
)
def test_any_answer_of_iommufd(
    pairs: list[tuple[int, int]], announced: int, alignment: int, is_honest: bool
) -> None:
    """The ranges are sane and in order, or ProtocolError is raised."""
    count = len(pairs) if is_honest else announced

    class Kernel:
        def ioctl(self, fd: int, request: int, argument: bytearray) -> int:
            _, _, room, _, pointer, _ = struct.unpack("=IIIIQQ", argument)
            data = b"".join(struct.pack("=QQ", *pair) for pair in pairs)
            ctypes.memmove(pointer, data, min(len(data), room * 16))
            struct.pack_into("=I", argument, 8, count)
            struct.pack_into("=Q", argument, 24, alignment & (1 << 64) - 1)
            if count > room:
                raise OSError(errno.EMSGSIZE, "")
            return 0

    dma = IoasDma(Kernel(), SimpleNamespace(fd=3), 1)  # type: ignore[arg-type]
    try:
        dma.refresh()
    except ProtocolError:
        assert list(dma.iova_ranges) == []
        return
    last = -1
    for r in dma.iova_ranges:
        assert last < r.first <= r.last
        last = r.last
    assert dma.page_size & (dma.page_size - 1) == 0 < dma.page_size
