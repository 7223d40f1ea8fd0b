"""Memory behind a BAR that is a device's: aligned accesses, no dereferencing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymmio.dax.bounds import check_range
from pymmio.dax.errors import media_error
from pymmio.dax.memory import DaxMemory, Durability
from pymmio.dax.plain_memory import PlainMemory
from pymmio.errors import AccessFault, Unsupported
from pymmio.mmio import Region

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DeviceMemory", "memory_of"]

_WIDE = 8
_ZEROS = bytes(1 << 16)


def memory_of(
    region: Region, *, name: str | None = None, durability: Durability = Durability.NONE
) -> DaxMemory:
    """Return the memory behind a region, which it closes.

    Plain bytes where the region's rule says that it is RAM-like, else a device's memory.
    """
    name = name or region.name
    if region.rule.ram_like:
        return PlainMemory(region.view, name=name, durability=durability, release=region.close)
    return DeviceMemory(region, name=name, durability=durability)


class DeviceMemory:
    """A :class:`~pymmio.dax.memory.DaxMemory` over a region that is no RAM.

    A BAR that VFIO maps is uncached: it is copied by accesses of 8 bytes, and of fewer at an
    unaligned edge; on s390x by the instructions or system calls that the region has.
    """

    is_dereferenceable = False
    is_cached = False

    def __init__(self, region: Region, *, name: str, durability: Durability) -> None:
        self.name = name
        self.size = region.size
        self.durability = durability
        self._region = region

    def view(self, offset: int, size: int) -> memoryview:
        """Raise Unsupported: the reason is part of the message."""
        check_range(self.name, self.size, offset, size)
        raise Unsupported(
            f"{self.name} is a device's memory behind a BAR ({self._region.access}): it is not"
            " cached, takes aligned accesses only, and may not be dereferenced",
            hint="Use read_into and write_from, which make such accesses",
        )

    def read_into(self, offset: int, target: Buffer, *, machine_check_safe: bool = True) -> int:
        """Fill ``target`` from ``offset`` on, low address first."""
        with memoryview(target).cast("B") as to:
            size = len(to)
            check_range(self.name, self.size, offset, size)
            done = 0
            for at, length, width in pieces(offset, size):
                try:
                    to[done : done + length] = self._region.read_block(at, length, width=width)
                except AccessFault as error:
                    raise media_error(self.name, offset, size, error.offset - offset) from error
                done += length
            return size

    def write_from(
        self, offset: int, data: Buffer, *, nocache: bool = False, machine_check_safe: bool = True
    ) -> int:
        """Write ``data`` at ``offset``, low address first; there is no cache to pass by."""
        with memoryview(data).cast("B") as source:
            size = len(source)
            check_range(self.name, self.size, offset, size)
            done = 0
            for at, length, width in pieces(offset, size):
                part = source[done : done + length]
                try:
                    if width == _WIDE:
                        self._region.write_combined(at, part)
                    else:
                        self._region.write_block(at, part, width=width)
                except AccessFault as error:
                    raise media_error(self.name, offset, size, error.offset - offset) from error
                done += length
            return size

    def zero(self, offset: int, size: int) -> None:
        """Write zeros."""
        check_range(self.name, self.size, offset, size)
        while size:
            length = min(size, len(_ZEROS))
            self.write_from(offset, _ZEROS[:length])
            offset, size = offset + length, size - length

    def persist(self, offset: int, size: int) -> None:
        """Wait until the writes have arrived, by reading one back; caches are not between."""
        check_range(self.name, self.size, offset, size)
        if size:
            self._region.flush_writes(offset & ~7)

    def close(self) -> None:
        """Close the region."""
        self._region.close()


def pieces(offset: int, size: int) -> list[tuple[int, int, int]]:
    """Cut a range into (offset, size, width): 8 bytes wide inside, narrower at its edges; pure."""
    found = []
    end = offset + size
    while offset < end:
        width = _WIDE
        while offset % width or offset + width > end:
            width //= 2
        length = (end - offset) // width * width if width == _WIDE else width
        found.append((offset, length, width))
        offset += length
    return found
