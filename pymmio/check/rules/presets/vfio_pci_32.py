"""What vfio-pci makes of a pread or pwrite, in kernels without 8-byte accesses."""

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
  8 44  1241 242 1421 44  1241 242 1421 44  1241 242 1421 44  1241 242 1421
"""
)

PRESET = Preset(
    name="vfio-pci-32",
    title="vfio-pci pread and pwrite, accesses of up to 4 bytes",
    sources=(
        Source(
            "Linux before 6.11 (x86: 6.14), drivers/vfio/pci/vfio_pci_rdwr.c (0604aa87b098), "
            "do_io_rw()",
            "4 bytes where 4 are left and the offset is a multiple of 4, else 2 likewise, "
            "else 1, low address first",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="bytes",
    notes=("MSI-X tables are cut out: reads there give all ones."),
)
