"""Overlap of registers and arrays of registers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING

from pymmio.errors import DeclarationError

if TYPE_CHECKING:
    from pymmio.regs.file import Place

__all__ = ["check_places"]


def check_places(owner: str, places: Iterable[Place]) -> None:
    """Raise DeclarationError if two registers share a byte."""
    for one, other in combinations(places, 2):
        offset = _shared_byte(one, other)
        if offset is not None:
            raise DeclarationError(
                f"{owner}: {_text(one)} and {_text(other)} overlap at offset 0x{offset:x}",
                hint="Compare offsets, widths and strides with the specification",
            )


def _shared_byte(one: Place, other: Place) -> int | None:
    """Return the offset of a byte that both places contain, None if there is none."""
    if one.count > other.count:
        one, other = other, one
    if _end(one) <= other.offset or _end(other) <= one.offset:
        return None
    size = other.spec.size_bytes
    for index in range(one.count):
        first = one.offset + index * one.stride
        last = first + one.spec.size_bytes - 1
        # The last element of the other array that begins at or before `last`.
        nearest = min((last - other.offset) // (other.stride or 1), other.count - 1)
        if nearest >= 0:
            start = other.offset + nearest * other.stride
            if start + size > first:
                return max(start, first)
    return None


def _end(place: Place) -> int:
    return place.offset + (place.count - 1) * place.stride + place.spec.size_bytes


def _text(place: Place) -> str:
    array = f"[0..{place.count - 1}]" if place.is_array else ""
    return f"{place.name}{array} (0x{place.offset:x}, {place.spec.width} bits)"
