"""Allocate I/O virtual addresses: pure bookkeeping, no kernel, no memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

from pymmio.errors import BadArgument, DmaError, IovaExhausted
from pymmio.handle import Iova, IovaRange

__all__ = ["IovaAllocator", "require_alignment", "round_up"]


@dataclass(frozen=True, slots=True, order=True)
class _Span:
    """Free addresses from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


def require_alignment(align: int) -> None:
    """Raise BadArgument unless ``align`` is a power of two."""
    if align <= 0 or align & (align - 1):
        raise BadArgument(
            f"alignment {align} is not a power of two", hint="Use 4096, 8192, 16384, ..."
        )


class IovaAllocator:
    """Hand out ranges of addresses, first fit from the low end, and merge what comes back.

    ``ranges`` are the usable ranges, first and last inclusive, in any order; they may touch or
    overlap.  ``page_size`` (a power of two) is the smallest unit and alignment, in bytes: parts
    of a page at the ends of a range are not used.  Not safe for threads: the owner locks.
    """

    def __init__(self, ranges: Iterable[IovaRange], *, page_size: int) -> None:
        require_alignment(page_size)
        self.page_size = page_size
        self._free = _normalised(ranges, page_size)
        self._taken: dict[Iova, int] = {}

    def allocate(self, size: int, *, align: int | None = None, limit: int | None = None) -> Iova:
        """Take the lowest free range of ``size`` bytes, rounded up to whole pages.

        ``align`` is a power of two and counts from address 0; less than a page means a page.
        ``limit``, if given, is the first address that may not be part of the range, for devices
        with few address lines.  Raises IovaExhausted if nothing fits, BadArgument if the
        arguments make no sense.
        """
        if size <= 0:
            raise BadArgument(f"size {size} is not positive", hint="Ask for at least one byte")
        align = self.page_size if align is None else align
        require_alignment(align)
        align = max(align, self.page_size)
        length = round_up(size, self.page_size)
        for index, span in enumerate(self._free):
            start = round_up(span.start, align)
            end = start + length
            if limit is not None and end > limit:
                break
            if end <= span.end:
                rest = (_Span(span.start, start), _Span(end, span.end))
                self._free[index : index + 1] = [part for part in rest if part.size]
                iova = Iova(start)
                self._taken[iova] = length
                return iova
        raise IovaExhausted(
            f"no free I/O virtual addresses for {length:#x} bytes aligned to {align:#x}"
            f"{'' if limit is None else f' below {limit:#x}'}: {self.free_bytes:#x} bytes are free,"
            f" the largest free range has {self.largest_free:#x}",
            hint="Close buffers that are no longer used, or ask for less",
        )

    def free(self, iova: Iova) -> int:
        """Give back a range that ``allocate`` returned and return its size in bytes.

        Raises DmaError if no range that is taken starts at ``iova``.
        """
        size = self._taken.pop(iova, None)
        if size is None:
            raise DmaError(
                f"no allocated range starts at {iova:#x}", hint="Free each range exactly once"
            )
        span = _Span(iova, iova + size)
        index = bisect_left(self._free, span)
        if index < len(self._free) and self._free[index].start == span.end:
            span = _Span(span.start, self._free.pop(index).end)
        if index > 0 and self._free[index - 1].end == span.start:
            span = _Span(self._free.pop(index - 1).start, span.end)
        insort(self._free, span)
        return size

    def restrict(self, ranges: Iterable[IovaRange]) -> None:
        """Hand out nothing outside ``ranges`` any more; what is taken already stays taken.

        For address spaces that a further device joins, which reaches less.
        """
        allowed = _normalised(ranges, self.page_size)
        self._free = [
            _Span(max(free.start, span.start), min(free.end, span.end))
            for free in self._free
            for span in allowed
            if free.start < span.end and span.start < free.end
        ]

    def is_taken(self, iova: Iova) -> bool:
        """Whether a range that starts at ``iova`` is allocated."""
        return iova in self._taken

    @property
    def free_bytes(self) -> int:
        """All free addresses, in bytes."""
        return sum(span.size for span in self._free)

    @property
    def largest_free(self) -> int:
        """The largest free range, in bytes; 0 if none is left."""
        return max((span.size for span in self._free), default=0)

    @property
    def free_ranges(self) -> tuple[IovaRange, ...]:
        """The free ranges, lowest first; no two of them touch."""
        return tuple(IovaRange(span.start, span.end - 1) for span in self._free)


def _normalised(ranges: Iterable[IovaRange], page_size: int) -> list[_Span]:
    """Sort ranges, merge those that touch, then cut them to whole pages."""
    merged: list[_Span] = []
    for usable in sorted(ranges, key=lambda usable: usable.first):
        if usable.first < 0 or usable.last < usable.first:
            raise BadArgument(
                f"range {usable.first:#x} to {usable.last:#x} is not a range of addresses",
                hint="First and last are inclusive and not negative",
            )
        span = _Span(usable.first, usable.last + 1)
        if merged and span.start <= merged[-1].end:
            span = _Span(merged[-1].start, max(merged.pop().end, span.end))
        merged.append(span)
    cut = (_Span(round_up(s.start, page_size), s.end // page_size * page_size) for s in merged)
    return [span for span in cut if span.start < span.end]
