"""Where things lie in the machine; one table for both kinds.

Nothing runs in the machine, so all addresses are ours to choose, but for RAM: from 0 up to 2 GiB,
the rest from 4 GiB on (QEMU's ``max-ram-below-4g``).
"""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.handle import IovaRange

__all__ = [
    "BELL",
    "BELL_DEVICE",
    "ECAM",
    "IO_WINDOW",
    "LOW_RAM_LIMIT",
    "MEMORY_WINDOW",
    "PORT_DEVICE",
    "PREFETCHABLE_WINDOW",
    "RamPlan",
]

GIB = 1 << 30
PAGE = 4096

ECAM = 0xB000_0000  #: 256 MiB, q35 only
MEMORY_WINDOW = (0xC000_0000, 0xFDFF_FFFF)
BELL = 0xFE00_0000  #: a page: writes there become events
IO_WINDOW = (0x4000, 0xFFFF)
PREFETCHABLE_WINDOW = (0x80_0000_0000, 0xFF_FFFF_FFFF)  #: up to the 40 bits of the processor

PORT_DEVICE = 3  #: on bus 0: the port or bridge that the device is behind
BELL_DEVICE = 4  #: on bus 0

LOW_RAM_LIMIT = 2 * GIB
_HIGH_RAM = 4 * GIB
_FIRST_USABLE = 1 << 20  # below are ROMs and the hole for video memory


class RamPlan:
    """RAM as a file: which addresses it has, and what is kept for the tables of the IOMMU."""

    def __init__(self, size: int, *, has_iommu: bool) -> None:
        self.size = size
        self.top = size if size <= LOW_RAM_LIMIT else _HIGH_RAM + size - LOW_RAM_LIMIT
        #: what translations cover, in bytes: all RAM, and the bell
        self.reach = max(4 * GIB, -(-self.top // GIB) * GIB)
        self.table_size = _table_size(self.reach) if has_iommu else 0
        #: the file: RAM, of which the tables take the end
        self.tables_at = size - self.table_size

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """The addresses that buffers may have."""
        low_end = min(self.tables_at, LOW_RAM_LIMIT)
        ranges = [IovaRange(_FIRST_USABLE, low_end - 1)]
        if self.tables_at > LOW_RAM_LIMIT:
            ranges.append(IovaRange(_HIGH_RAM, self.address_of(self.tables_at - 1)))
        return ranges

    def address_of(self, offset: int) -> int:
        """Return the address of a byte of the file."""
        return offset if offset < LOW_RAM_LIMIT else offset - LOW_RAM_LIMIT + _HIGH_RAM

    def offset_of(self, address: int) -> int:
        """Return where in the file the byte at ``address`` is, which must be RAM."""
        return address if address < LOW_RAM_LIMIT else address - _HIGH_RAM + LOW_RAM_LIMIT

    @property
    def device_memory(self) -> int:
        """Where memory devices such as virtio-pmem start: the next whole GiB above RAM."""
        high = max(_HIGH_RAM, self.top)
        return -(-high // GIB) * GIB


def _table_size(reach: int) -> int:
    """Return bytes of all tables: see :mod:`pymmio.backend.qtest.machine.iommu`."""
    leaves = reach // PAGE * 8
    return leaves + (reach // GIB) * PAGE + 3 * PAGE
