"""Physical region pages: where in the driver's memory the data of a command lies.

Sources: NVMe Base 1.4 §4.3, Base 2.0 §4.1.1.  What a driver writes here is hostile: each
list page is read once, and a list is never followed longer than the transfer needs.
"""

from __future__ import annotations

import struct

from pymmio.backend.model import ModelHost
from pymmio.models.nvme.status import CommandError, Status

__all__ = ["Segment", "from_driver", "to_driver", "walk"]

Segment = tuple[int, int]
"""(I/O virtual address, bytes)"""

_PRP1_BYTE = 24  # byte of the submission queue entry
_PRP2_BYTE = 32


def walk(host: ModelHost, prp1: int, prp2: int, size: int, page_size: int) -> list[Segment]:
    """Return the memory of a transfer of ``size`` bytes, neighbours merged.

    Raises CommandError (PRP Offset Invalid), and IommuFault from reading a PRP list.
    """
    offset_mask = page_size - 1
    if prp1 & 3:
        raise CommandError(Status.PRP_OFFSET_INVALID, location=_PRP1_BYTE)
    first = page_size - (prp1 & offset_mask)
    if size <= first:
        return [(prp1, size)]
    rest = size - first
    if rest <= page_size:
        if prp2 & offset_mask:
            raise CommandError(Status.PRP_OFFSET_INVALID, location=_PRP2_BYTE)
        if prp1 + first == prp2:
            return [(prp1, size)]
        return [(prp1, first), (prp2, rest)]
    if prp2 & 7:
        raise CommandError(Status.PRP_OFFSET_INVALID, location=_PRP2_BYTE)
    pages = _list_entries(host, prp2, -(-rest // page_size), page_size)
    return _merge(prp1, first, pages, rest, page_size)


def _list_entries(host: ModelHost, list_iova: int, needed: int, page_size: int) -> list[int]:
    """Read ``needed`` page addresses from a PRP list, following its last entries."""
    offset_mask = page_size - 1
    found: list[int] = []
    while needed:
        room = (page_size - (list_iova & offset_mask)) // 8
        count = min(room, needed)
        entries = struct.unpack(f"<{count}Q", host.dma_read(list_iova, 8 * count))
        for entry in entries:
            if entry & offset_mask:
                raise CommandError(Status.PRP_OFFSET_INVALID, location=_PRP2_BYTE)
        if needed > room:  # the last entry of this page points to the next list page
            found += entries[:-1]
            needed -= room - 1
            list_iova = entries[-1]
        else:
            found += entries
            needed = 0
    return found


def _merge(prp1: int, first: int, pages: list[int], rest: int, page_size: int) -> list[Segment]:
    segments: list[Segment] = []
    start, size = prp1, first
    end = prp1 + first
    for page in pages:
        piece = page_size if rest > page_size else rest
        rest -= piece
        if page == end:
            size += piece
        else:
            segments.append((start, size))
            start, size = page, piece
        end = page + piece
    segments.append((start, size))
    return segments


def to_driver(host: ModelHost, segments: list[Segment], data: bytes | memoryview) -> None:
    """Write ``data``, exactly as long as the segments together, to the driver's memory."""
    if len(segments) == 1:
        host.dma_write(segments[0][0], data)
        return
    view = memoryview(data)
    position = 0
    for iova, size in segments:
        host.dma_write(iova, view[position : position + size])
        position += size


def from_driver(host: ModelHost, segments: list[Segment]) -> bytes:
    """Read all segments from the driver's memory."""
    if len(segments) == 1:
        return host.dma_read(*segments[0])
    return b"".join([host.dma_read(iova, size) for iova, size in segments])
