"""How a copy that failed becomes an error of the medium."""

from __future__ import annotations

from pymmio.errors import MediaError

__all__ = ["media_error"]

_DONE = {"copy": "copied", "write-back": "written back"}


def media_error(name: str, offset: int, size: int, moved: int, *, what: str = "copy") -> MediaError:
    """Return what to raise where ``moved`` bytes of ``size`` arrived; ``what`` was under way."""
    moved = max(0, moved)
    at = offset + moved
    return MediaError(
        f"{name}: a {what} of {size:#x} bytes at {offset:#x} met bad memory at {at:#x}:"
        f" {size - moved:#x} bytes were not {_DONE[what]}",
        offset=at,
        size=size - moved,
        moved=moved,
        hint="Write whole pages of the range anew, or restore it from a copy",
    )
