"""How an access that failed becomes an error of the medium."""

from __future__ import annotations

from pymmio.errors import AccessFault, MediaError

__all__ = ["media_error"]


def media_error(name: str, fault: AccessFault, offset: int, size: int) -> MediaError:
    """Return what to raise for a copy of ``size`` bytes at ``offset`` that ``fault`` has ended."""
    at = fault.offset
    return MediaError(
        f"{name}: a copy of {size:#x} bytes at {offset:#x} met bad memory at {at:#x}",
        offset=at,
        size=offset + size - at,
        moved=max(0, at - offset),
        hint="Write the range anew, whole pages of it, or restore it from a copy",
    )
