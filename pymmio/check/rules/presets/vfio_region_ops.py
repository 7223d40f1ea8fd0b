"""QEMU's device memory that is not mapped: a pread or pwrite for each access."""

from __future__ import annotations

from pymmio.check.rules.table import Preset, Source, Table, everywhere

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0   1    2   3    4   5    6   7    8   9    10  11   12  13   14  15
  1 1   1    1   1    1   1    1   1    1   1    1   1    1   1    1   1
  2 2   11   2   11   2   11   2   11   2   11   2   11   2   11   2   11
  3 21  12   21  12   21  12   21  12   21  12   21  12   21  12   21  12
  4 4   121  22  121  4   121  22  121  4   121  22  121  4   121  22  121
  5 41  122  221 14   41  122  221 14   41  122  221 14   41  122  221 14
  6 42  1221 24  141  42  1221 24  141  42  1221 24  141  42  1221 24  141
  7 421 124  241 142  421 124  241 142  421 124  241 142  421 124  241 142
  8 8   1241 242 1421 44  1241 242 1421 8   1241 242 1421 44  1241 242 1421
"""
)

PRESET = Preset(
    name="qemu-vfio-region-ops",
    title="QEMU vfio_region_ops, reached by the address space",
    sources=(
        Source(
            "QEMU hw/vfio/region.c (090c96418822), vfio_region_ops",
            "pread or pwrite of 1 to 8 bytes at the offset in the region, little-endian; "
            "neither valid.unaligned nor impl.unaligned",
        ),
        Source(
            "QEMU system/physmem.c (02825d1e5577), memory_access_size()",
            "an access of n bytes is done in pieces of the greatest power of two that is "
            "left; pieces are bounded by the alignment of the address unless impl.unaligned "
            "is set",
        ),
        Source(
            "QEMU 11.1, qtest, recorder behind vfio-user",
            "2 at +1: 1,1; 4 at +1: 1,2,1; 4 at +2: 2,2; 8 at +1: 1,2,4,1; 8 at +2: 2,4,2; "
            "8 at +4: 4,4; 8 at +7: 1,4,2,1",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="bytes",
    notes=(
        "DMA of other devices, qtest and the monitor take this path; a guest's processor "
        "under TCG takes another (qemu-vfio-region-ops-tcg)."
    ),
)
