"""Memory behind a region: aligned accessors where it is a device, plain bytes where it is RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymmio.dax.errors import media_error
from pymmio.errors import AccessFault, OutOfBounds, Unsupported
from pymmio.mmio import Region

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["RegionMemory"]

_WIDE = 8
_ZEROS = bytes(1 << 16)


class RegionMemory:
    """A :class:`~pymmio.dax.memory.DaxMemory` over a region, which it closes.

    A BAR that VFIO maps is uncached and may not be dereferenced: it is copied by accesses of
    8 bytes, and of fewer at an unaligned edge, on s390x by the instructions or system calls
    that the region has.  A region that its rule declares RAM-like is copied as bytes.
    """

    def __init__(self, region: Region, *, name: str | None = None) -> None:
        self._region = region
        self.name = name or region.name
        self.size = region.size
        self.is_dereferenceable = region.rule.ram_like
        self.is_cached = region.rule.ram_like
        self._bytes: memoryview | None = region.view() if region.rule.ram_like else None

    def view(self, offset: int, size: int) -> memoryview:
        """Return the bytes themselves, where loads and stores reach them."""
        self._check(offset, size)
        if self._bytes is None:
            raise Unsupported(
                f"{self.name} is a device's memory behind a BAR: it is not cached, may not be"
                " dereferenced, and takes aligned accesses only",
                hint="Use read_into and write_from, which make such accesses",
            )
        return self._bytes[offset : offset + size]

    def read_into(self, offset: int, target: Buffer) -> int:
        """Fill ``target`` from ``offset`` on."""
        with memoryview(target).cast("B") as to:
            self._check(offset, len(to))
            if self._bytes is not None:
                to[:] = self._bytes[offset : offset + len(to)]
                return len(to)
            done = 0
            for at, size, width in _pieces(offset, len(to)):
                try:
                    to[done : done + size] = self._region.read_block(at, size, width=width)
                except AccessFault as error:
                    raise media_error(self.name, error, offset, len(to)) from error
                done += size
            return done

    def write_from(self, offset: int, data: Buffer) -> int:
        """Write ``data`` at ``offset``."""
        with memoryview(data).cast("B") as source:
            self._check(offset, len(source))
            if self._bytes is not None:
                self._bytes[offset : offset + len(source)] = source
                return len(source)
            done = 0
            for at, size, width in _pieces(offset, len(source)):
                part = source[done : done + size]
                try:
                    if width == _WIDE:
                        self._region.write_combined(at, part)
                    else:
                        self._region.write_block(at, part, width=width)
                except AccessFault as error:
                    raise media_error(self.name, error, offset, len(source)) from error
                done += size
            return done

    def zero(self, offset: int, size: int) -> None:
        """Write zeros."""
        self._check(offset, size)
        while size:
            part = min(size, len(_ZEROS))
            self.write_from(offset, _ZEROS[:part])
            offset, size = offset + part, size - part

    def close(self) -> None:
        """Close the region."""
        if self._bytes is not None:
            self._bytes.release()
            self._bytes = None
        self._region.close()

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise OutOfBounds(
                f"{self.name}: {size:#x} bytes at {offset:#x} of {self.size:#x}",
                region=self.name,
                offset=offset,
            )


def _pieces(offset: int, size: int) -> list[tuple[int, int, int]]:
    """Cut a range into (offset, size, width): 8 bytes wide inside, narrower at its edges; pure."""
    pieces = []
    end = offset + size
    while offset < end:
        width = _WIDE
        while offset % width or offset + width > end:
            width //= 2
        length = (end - offset) // width * width if width == _WIDE else width
        pieces.append((offset, length, width))
        offset += length
    return pieces
