"""QEMU's mapped device memory from 2016 to 2023: plain dereferences."""

from __future__ import annotations

from pymmio.check.rules.table import Preset, Source, Table, everywhere

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0   1   2   3   4   5   6   7   8   9   10  11  12  13  14  15
  1 1   1   1   1   1   1   1   1   1   1   1   1   1   1   1   1
  2 2   2   2   2   2   2   2   2   2   2   2   2   2   2   2   2
  3 21  21  21  21  21  21  21  21  21  21  21  21  21  21  21  21
  4 4   4   4   4   4   4   4   4   4   4   4   4   4   4   4   4
  5 41  41  41  41  41  41  41  41  41  41  41  41  41  41  41  41
  6 42  42  42  42  42  42  42  42  42  42  42  42  42  42  42  42
  7 421 421 421 421 421 421 421 421 421 421 421 421 421 421 421 421
  8 8   8   8   8   8   8   8   8   8   8   8   8   8   8   8   8
"""
)

PRESET = Preset(
    name="qemu-ram-device-2016",
    title="QEMU ram_device, 2016 to 2023",
    sources=(
        Source(
            "QEMU commit 4a2e242bbb30 (2.8, 2016), memory.c, memory_region_ram_device_read(), "
            "ram_device_mem_ops",
            "each access of 1, 2, 4 or 8 bytes is one dereference of that size; "
            "valid.unaligned and impl.unaligned are set: \"we don't expect drivers to use "
            "unaligned accesses and we don't want them to work differently in a VM than on "
            'bare metal"',
        ),
        Source(
            "QEMU 2.8 exec.c, today system/physmem.c (02825d1e5577), memory_access_size()",
            "an access of n bytes is done in pieces of the greatest power of two that is "
            "left; pieces are bounded by the alignment of the address unless impl.unaligned "
            "is set",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="split",
    notes=(
        "Seen with QEMU 11.1 on x86_64 too, though its source promises less: one access of "
        "the full size even where it is unaligned."
    ),
)
