"""PCI load and store of s390x."""

from __future__ import annotations

from pymmio.check.rules.table import Preset, Source, Table, everywhere

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0 1   2   3   4 5   6 7 8 9   10  11  12 13  14 15
  1 1 1   1   1   1 1   1 1 1 1   1   1   1  1   1  1
  2 2 2|- 2   2|- 2 2|- 2 - 2 2|- 2   2|- 2  2|- 2  -
  3 - -   -   -   - -   - - - -   -   -   -  -   -  -
  4 4 4|- 4|- 4|- 4 -   - - 4 4|- 4|- 4|- 4  -   -  -
  5 - -   -   -   - -   - - - -   -   -   -  -   -  -
  6 - -   -   -   - -   - - - -   -   -   -  -   -  -
  7 - -   -   -   - -   - - - -   -   -   -  -   -  -
  8 8 -   -   -   - -   - - 8 -   -   -   -  -   -  -
"""
)

PRESET = Preset(
    name="zpci",
    title="zPCI load and store instructions",
    sources=(
        Source(
            "QEMU hw/s390x/s390-pci-inst.c (001cb79d89af), pcilg_service_call(), "
            "pcistg_service_call()",
            "an operand exception if the length is 0 or more than 8 - (offset & 7)",
        ),
        Source(
            "Linux arch/s390/include/asm/pci_io.h, zpci_get_max_io_size(), zpci_write_single()",
            "lengths are 1, 2, 4 or 8; of any other, the firmware reports the error",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="split",
    notes=(
        "An accessor may refuse an unaligned access that the instruction takes. Store block "
        "is not in this table."
    ),
)
