"""QEMU's device memory that is not mapped, as TCG's processor reaches it."""

from __future__ import annotations

from pymmio.check.rules.table import Cell, Preset, Source, Table

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0 1    2    3    4  5    6    7    8 9    10   11   12 13   14   15
  1 1 1    1    1    1  1    1    1    1 1    1    1    1  1    1    1
  2 2 11   2    11   2  11   2    11   2 11   2    11   2  11   2    11
  4 4 1111 22   1111 4  1111 22   1111 4 1111 22   1111 4  1111 22   1111
  8 8 1*8  2222 1*8  44 1*8  2222 1*8  8 1*8  2222 1*8  44 1*8  2222 1*8
"""
)

EDGE = Table(
    r"""
w\o 0 1    2    3    4  5    6    7    8 9    10  11    12 13      14   15
  1 1 1    1    1    1  1    1    1    1 1    1   1     1  1       1    1
  2 2 11   2    11   2  11   2    11   2 11   2   11    2  11      2    11
  4 4 1111 22   1111 4  1111 22   1111 4 1111 22  1111  4  121     22   1111
  8 8 1*8  2222 1*8  44 1*8  2222 1*8  8 1241 242 14111 44 1211111 2222 1*8
"""
)

PRESET = Preset(
    name="qemu-vfio-region-ops-tcg",
    title="QEMU vfio_region_ops, reached by a processor of TCG",
    sources=(
        Source(
            "QEMU 11.1, TCG guest, recorder behind vfio-user",
            "2 at +1: 1,1; 4 at +1 and +3: 1,1,1,1; 4 at +2: 2,2; 8 at +1 and +7: eight of "
            "1; 8 at +2: four of 2; 8 at +4: 4,4",
        ),
        Source(
            "QEMU accel/tcg/cputlb.c, do_ld8_mmu(), do_st8_mmu()",
            "an access that crosses a page is made in two parts, one in each page",
        ),
        Source(
            "QEMU accel/tcg/cputlb.c, int_ld_mmio_beN(), int_st_mmio_leN()",
            "each piece is as wide as the lowest bit that is set in address, bytes left, or 8",
        ),
    ),
    cells=(
        Cell(0x0, TABLE, TABLE, "any cell inside a page"),
        Cell(0xFF0, EDGE, EDGE, "last cell of a page"),
        Cell(0x1000, TABLE, TABLE, "first cell of the next page"),
    ),
    must_fail="bytes",
    notes="An access that crosses a page is two to TCG, which are then cut one after the other.",
)
