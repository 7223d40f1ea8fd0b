"""Physical region pages: how a command points at its data (NVMe Base 2.0 §4.1.1).

Pure functions.  PRP1 points anywhere into a page (dword-aligned), all other entries at
whole pages.  With one page more PRP2 is that page; with several PRP2 points at a list, and
the last entry of a full list page points at the next list page.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["PrpList", "build_prps", "list_pages_needed", "pages_spanned", "prp2_without_list"]

ENTRY_SIZE = 8


class PrpList(NamedTuple):
    """The data pointer of a command, and what must stand at the list's address, if anything."""

    prp1: int
    prp2: int
    entries: bytes = b""


def pages_spanned(iova: int, size: int, page_size: int) -> int:
    """Return how many memory pages ``size`` bytes at ``iova`` touch."""
    return (iova % page_size + size + page_size - 1) // page_size


def list_pages_needed(size: int, page_size: int) -> int:
    """Return how many list pages a transfer of ``size`` bytes needs at worst alignment."""
    listed = pages_spanned(page_size - 4, size, page_size) - 1
    if listed <= 1:
        return 0
    per_page = page_size // ENTRY_SIZE
    if listed <= per_page:
        return 1
    # Each list page but the last gives one entry away for the pointer to the next.
    return 1 + -(-(listed - per_page) // (per_page - 1))


def prp2_without_list(iova: int, size: int, page_size: int) -> int | None:
    """Return PRP2 for ``size`` bytes at ``iova``, None where it has to point at a list."""
    in_first = page_size - iova % page_size
    if size <= in_first:
        return 0
    return iova + in_first if size <= in_first + page_size else None


def build_prps(iova: int, size: int, page_size: int, list_iova: int) -> PrpList:
    """Point at ``size`` bytes at ``iova``, contiguous for the device.

    ``list_iova`` is page-aligned and the start of as many contiguous list pages as
    :func:`list_pages_needed` says; the entries returned belong there.
    """
    prp2 = prp2_without_list(iova, size, page_size)
    if prp2 is not None:
        return PrpList(iova, prp2)
    count = pages_spanned(iova, size, page_size)
    second = iova - iova % page_size + page_size
    pages = list(range(second, second + (count - 1) * page_size, page_size))
    per_page = page_size // ENTRY_SIZE
    entries: list[int] = []
    next_list = list_iova
    while len(pages) > per_page:
        next_list += page_size
        entries += [*pages[: per_page - 1], next_list]
        del pages[: per_page - 1]
    entries += pages
    return PrpList(iova, list_iova, struct.pack(f"<{len(entries)}Q", *entries))
