"""How a copy that failed becomes an error of the medium."""

from __future__ import annotations

from pymmio.errors import MediaError

__all__ = ["media_error"]


def media_error(name: str, offset: int, size: int, moved: int) -> MediaError:
    """Return what to raise for a copy of which ``moved`` bytes of ``size`` arrived."""
    moved = max(0, moved)
    at = offset + moved
    return MediaError(
        f"{name}: a copy of {size:#x} bytes at {offset:#x} met bad memory at {at:#x}:"
        f" {size - moved:#x} bytes were not copied",
        offset=at,
        size=size - moved,
        moved=moved,
        hint="Write whole pages of the range anew, or restore it from a copy",
    )
