"""What lies inside a memory, and what is aligned; pure."""

from __future__ import annotations

import mmap

from pymmio.errors import Misaligned, OutOfBounds

__all__ = ["PAGE_SIZE", "check_pages", "check_range"]

PAGE_SIZE = mmap.PAGESIZE


def check_range(name: str, total: int, offset: int, size: int) -> None:
    """Raise OutOfBounds unless ``size`` bytes at ``offset`` lie inside ``total`` bytes."""
    if offset < 0 or size < 0 or offset + size > total:
        raise OutOfBounds(
            f"{name}: {size:#x} bytes at {offset:#x} do not lie inside its {total:#x} bytes",
            region=name,
            offset=offset,
        )


def check_pages(name: str, what: str, **values: int) -> None:
    """Raise Misaligned unless each value is a multiple of a page."""
    for which, value in values.items():
        if value % PAGE_SIZE:
            raise Misaligned(
                f"{name}: {what}: {which} {value:#x} is no multiple of a page ({PAGE_SIZE:#x})",
                region=name,
                offset=value,
                hint="DAX maps whole pages: move the start of the partition, or its end",
            )
