"""Common configuration of virtio over PCI."""

from __future__ import annotations

from pymmio.check.rules.table import Cell, Preset, Source, Table

__all__ = ["PRESET"]

FEATURES = Table(
    r"""
w\o 0    1 2 3 4    5 6 7 8    9 10 11 12    13 14 15
  1 -    - - - -    - - - -    - -  -  -     -  -  -
  2 -    - - - -    - - - -    - -  -  -     -  -  -
  3 -    - - - -    - - - -    - -  -  -     -  -  -
  4 4    - - - 4    - - - 4    - -  -  4     -  -  -
  5 -    - - - -    - - - -    - -  -  -     -  -  -
  6 -    - - - -    - - - -    - -  -  -|42  -  -  -
  7 -    - - - -    - - - -    - -  -  -     -  -  -
  8 -|44 - - - -|44 - - - -|44 - -  -  -|422 -  -  -
"""
)

STATUS = Table(
    r"""
w\o 0       1 2       3 4       5      6      7 8      9 10    11 12    13 14   15
  1 -       - -       - 1       1      -      - -      - -     -  -     -  -    -
  2 2       - 2       - -|11    -      2      - 2      - 2     -  2     -  2    -
  3 -       - -|21    - -       -|12   -      - -      - -     -  -     -  -    -
  4 -|22    - -|211   - -|112   -      -|22   - -|22   - -|22  -  -|22  -  -    -
  5 -|221   - -       - -       -|122  -      - -      - -     -  -     -  -    -
  6 -|2211  - -|2112  - -|1122  -      -|222  - -|222  - -|222 -  -     -  -|24 -
  7 -       - -       - -       -|1222 -      - -      - -     -  -     -  -    -
  8 -|22112 - -|21122 - -|11222 -      -|2222 - -|2222 - -     -  -|224 -  -    -
"""
)

QUEUE = Table(
    r"""
w\o 0      1 2 3 4    5 6 7 8      9 10 11 12   13 14 15
  1 -      - - - -    - - - -      - -  -  -    -  -  -
  2 -      - - - -    - - - -      - -  -  -    -  -  -
  3 -      - - - -    - - - -      - -  -  -    -  -  -
  4 4      - - - 4    - - - 4      - -  -  4    -  -  -
  5 -      - - - -    - - - -      - -  -  -    -  -  -
  6 -      - - - -    - - - -      - -  -  -    -  -  -
  7 -      - - - -    - - - -      - -  -  -    -  -  -
  8 44|44r - - - -|44 - - - 44|44r - -  -  -|44 -  -  -
"""
)

PRESET = Preset(
    name="virtio-common",
    title="virtio common configuration",
    sources=(
        Source(
            "virtio 1.2 §4.1.3.1",
            '"the driver MUST use 8-bit wide accesses for 8-bit wide fields, 16-bit wide '
            "and aligned accesses for 16-bit wide fields and 32-bit wide and aligned "
            'accesses for 32-bit and 64-bit wide fields"',
        ),
        Source(
            "virtio 1.2 §4.1.4.3",
            "struct virtio_pci_common_cfg: the fields and their widths",
        ),
    ),
    cells=(
        Cell(0x00, FEATURES, FEATURES, "feature selectors and features"),
        Cell(0x10, STATUS, STATUS, "config_msix_vector to queue_notify_off"),
        Cell(0x20, QUEUE, QUEUE, "queue_desc, queue_driver"),
    ),
    must_fail="strict",
    notes=("Several whole fields at once may be refused, or be one access for each field."),
)
