"""PRP entries against an independent expansion, byte by byte of what the controller reads."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pymmio_drivers.nvme.prp import build_prps, list_pages_needed, pages_spanned

LIST = 0x7_0000_0000


def expand(prp1, prp2, list_bytes, size, page, list_iova):
    """Follow PRPs as NVMe Base 2.0 §4.1.1 tells a controller to: return (iova, size) pieces."""
    memory = {list_iova + i: list_bytes[i] for i in range(len(list_bytes))}

    def entry(at):
        assert at % 8 == 0
        return sum(memory[at + k] << (8 * k) for k in range(8))

    assert prp1 % 4 == 0
    pieces = [(prp1, min(size, page - prp1 % page))]
    left = size - pieces[0][1]
    if left == 0:
        assert prp2 == 0
    elif left <= page:
        assert prp2 % page == 0
        pieces.append((prp2, left))
    else:
        assert prp2 % 8 == 0
        at = prp2
        while left:
            value = entry(at)
            at += 8
            if at % page == 0 and left > page:  # last entry of a list page, more to come
                assert value % page == 0
                at = value
                continue
            assert value % page == 0
            pieces.append((value, min(left, page)))
            left -= pieces[-1][1]
    return pieces


pages = st.sampled_from([4096, 8192, 16384, 65536])


@given(
    page=pages,
    start=st.integers(1, 1 << 36).map(lambda n: n * 4),
    size=st.integers(1, 3 << 20),
)
@example(page=4096, start=0x10000, size=4096)
@example(page=4096, start=0x10000, size=4097)
@example(page=4096, start=0x10000, size=8192)
@example(page=4096, start=0x10000, size=8193)
@example(page=4096, start=0x10FFC, size=4)
@example(page=4096, start=0x10FFC, size=5)
@example(page=4096, start=0x10000, size=4096 * 513)  # list page exactly full
@example(page=4096, start=0x10000, size=4096 * 513 + 1)  # one entry too many for one page
@example(page=4096, start=0x10000, size=4096 * (1 + 511 + 512))
@example(page=4096, start=0x10000, size=4096 * (1 + 511 + 512) + 1)
def test_prps_cover_exactly_the_bytes_asked_for(page, start, size):
    prps = build_prps(start, size, page, LIST)
    pieces = expand(prps.prp1, prps.prp2, prps.entries, size, page, LIST)
    at = start
    for iova, length in pieces:
        assert iova == at
        at += length
    assert at == start + size
    assert len(pieces) == pages_spanned(start, size, page)
    assert -(-len(prps.entries) // page) <= list_pages_needed(size, page)


def test_entries_are_little_endian_literals():
    prps = build_prps(0x1122_3344_5004, 3 * 4096, 4096, LIST)
    assert prps.prp1 == 0x1122_3344_5004
    assert prps.prp2 == LIST
    assert prps.entries == bytes.fromhex("006044332211000000704433221100000080443322110000")


def test_list_pages_at_the_edges():
    assert list_pages_needed(4, 4096) == 0
    assert list_pages_needed(4096, 4096) == 0
    assert list_pages_needed(4096 + 4, 4096) == 0
    assert list_pages_needed(4096 + 5, 4096) == 1
    assert list_pages_needed(512 * 4096 + 4, 4096) == 1
    assert list_pages_needed(512 * 4096 + 5, 4096) == 2
