"""How much memory a virtqueue takes, and where its areas are in it (virtio 1.2 §2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.errors import BadArgument

__all__ = ["DESCRIPTOR_SIZE", "MAX_QUEUE_SIZE", "QueueLayout"]

DESCRIPTOR_SIZE = 16
MAX_QUEUE_SIZE = 32768

_TABLE_ALIGNMENT = 16


@dataclass(frozen=True, slots=True)
class QueueLayout:
    """Offsets in bytes of the areas of a queue in one piece of memory; pure.

    ``indirect`` is the offset of the tables for indirect descriptors, one for each buffer with
    room for ``indirect_max`` descriptors (0: none).
    """

    size: int
    is_packed: bool
    indirect_max: int
    driver: int
    device: int
    indirect: int
    total: int

    @classmethod
    def of(cls, size: int, *, is_packed: bool, indirect_max: int = 0) -> QueueLayout:
        """Lay out a queue of ``size`` descriptors.  Raises BadArgument for an impossible size."""
        if not 1 <= size <= MAX_QUEUE_SIZE or (not is_packed and size & (size - 1)):
            raise BadArgument(
                f"a virtqueue of {size} descriptors",
                hint=f"1 to {MAX_QUEUE_SIZE}, and a power of two where it is split",
            )
        table = DESCRIPTOR_SIZE * size
        if is_packed:  # event suppression structures of 4 bytes each (§2.8.10)
            driver, driver_size, device_size = table, 4, 4
        else:  # flags, idx, entries, event index (§2.7.6, §2.7.8)
            driver, driver_size, device_size = table, 6 + 2 * size, 6 + 8 * size
        device = _up(driver + driver_size, 4)
        indirect = _up(device + device_size, _TABLE_ALIGNMENT)
        total = indirect + size * indirect_max * DESCRIPTOR_SIZE
        return cls(size, is_packed, indirect_max, driver, device, indirect, total)


def _up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
