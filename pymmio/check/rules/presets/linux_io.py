"""Linux readb() to writeq(), ioread8() to iowrite64()."""

from __future__ import annotations

from pymmio.check.rules.table import Preset, Source, Table, everywhere

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0        1          2          3          4          5          6          7          8        9          10         11         12         13         14         15
  1 1        1          1          1          1          1          1          1          1        1          1          1          1          1          1          1
  2 2        2|-        2          2|-        2          2|-        2          2|-        2        2|-        2          2|-        2          2|-        2          2|-
  3 -        -          -          -          -          -          -          -          -        -          -          -          -          -          -          -
  4 4        4|-        4|-        4|-        4          4|-        4|-        4|-        4        4|-        4|-        4|-        4          4|-        4|-        4|-
  5 -        -          -          -          -          -          -          -          -        -          -          -          -          -          -          -
  6 -        -          -          -          -          -          -          -          -        -          -          -          -          -          -          -
  7 -        -          -          -          -          -          -          -          -        -          -          -          -          -          -          -
  8 8|44|44r 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|- 8|44|44r|-
"""  # noqa: E501
)

PRESET = Preset(
    name="linux-io",
    title="Linux io accessors",
    sources=(
        Source(
            'Linux Documentation/driver-api/device-io.rst, "Accessing the device"',
            "readb, readw, readl, readq and their writes are one access of 8, 16, 32, 64 bits",
        ),
        Source(
            "Linux include/linux/io-64-nonatomic-lo-hi.h (2cc2c3cb54de), io-64-nonatomic-hi-lo.h",
            "64 bits are two readl() at the address and 4 behind it where the architecture has "
            "no access of 64, whatever the alignment: lower first, or higher first",
        ),
        Source(
            "Linux arch/*/include/asm/io.h, __raw_readl() and the like",
            "one instruction: unaligned it is one access or a fault, never split by software",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="split",
)
