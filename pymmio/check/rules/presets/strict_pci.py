"""One access is one transaction on the bus."""

from __future__ import annotations

from pymmio.check.rules.table import Preset, Source, Table, everywhere

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
  1 1 1 1 1 1 1 1 1 1 1 1  1  1  1  1  1
  2 2 - 2 - 2 - 2 - 2 - 2  -  2  -  2  -
  3 - - - - - - - - - - -  -  -  -  -  -
  4 4 - - - 4 - - - 4 - -  -  4  -  -  -
  5 - - - - - - - - - - -  -  -  -  -  -
  6 - - - - - - - - - - -  -  -  -  -  -
  7 - - - - - - - - - - -  -  -  -  -  -
  8 8 - - - - - - - 8 - -  -  -  -  -  -
"""
)

PRESET = Preset(
    name="strict-pci",
    title="Strict PCI",
    sources=(
        Source(
            "rdma-core util/mmio.h (1167c6ae8008)",
            "one TLP for each accessor of 8, 16, 32 or 64 bits, in order, never combined, "
            "never speculated",
        ),
        Source(
            "PCI Express Base 5.0 §2.2.5",
            "a request names whole bytes of aligned doublewords: natural alignment is what "
            "keeps one access one request",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="split",
    notes=("What is no access of 1, 2, 4, 8 naturally aligned bytes is refused."),
)
