"""What vfio-pci makes of a pread or pwrite, where 8 bytes can be one access."""

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
    name="vfio-pci",
    title="vfio-pci pread and pwrite, accesses of up to 8 bytes",
    sources=(
        Source(
            "Linux drivers/vfio/pci/vfio_pci_rdwr.c, vfio_pci_core_do_io_rw()",
            "while bytes are left: the widest access that fits and is naturally aligned, "
            "low address first",
        ),
        Source(
            "Linux commit 4df13a6871d9 (6.11), on x86 2b938e3db335 (6.14)",
            "aligned 8 bytes are one ioread64 or iowrite64",
        ),
        Source(
            "Linux drivers/vfio/pci/vfio_pci_rdwr.c, vfio_pci_bar_rw(), max_width",
            "newer kernels read expansion ROMs by up to 4 bytes (vfio-pci-32)",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="bytes",
    notes=("MSI-X tables are cut out: reads there give all ones."),
)
