"""Registers of an NVMe controller."""

from __future__ import annotations

from pymmio.check.rules.table import Cell, Preset, Source, Table

__all__ = ["PRESET"]

CAP_VS = Table(
    r"""
w\o 0        1 2 3 4        5 6 7 8        9 10 11 12       13 14 15
  1 -        - - - -        - - - -        - -  -  -        -  -  -
  2 -        - - - -        - - - -        - -  -  -        -  -  -
  3 -        - - - -        - - - -        - -  -  -        -  -  -
  4 4        - - - 4        - - - 4        - -  -  4        -  -  -
  5 -        - - - -        - - - -        - -  -  -        -  -  -
  6 -        - - - -        - - - -        - -  -  -        -  -  -
  7 -        - - - -        - - - -        - -  -  -        -  -  -
  8 8|44|44r - - - -|44|44r - - - -|44|44r - -  -  -|44|44r -  -  -
"""
)

INTMC_CSTS = Table(
    r"""
w\o 0        1 2 3 4        5 6 7 8        9 10 11 12       13 14 15
  1 -        - - - -        - - - -        - -  -  -        -  -  -
  2 -        - - - -        - - - -        - -  -  -        -  -  -
  3 -        - - - -        - - - -        - -  -  -        -  -  -
  4 4        - - - 4        - - - 4        - -  -  4        -  -  -
  5 -        - - - -        - - - -        - -  -  -        -  -  -
  6 -        - - - -        - - - -        - -  -  -        -  -  -
  7 -        - - - -        - - - -        - -  -  -        -  -  -
  8 -|44|44r - - - -|44|44r - - - -|44|44r - -  -  -|44|44r -  -  -
"""
)

AQA_ASQ = Table(
    r"""
w\o 0        1 2 3 4        5 6 7 8        9 10 11 12       13 14 15
  1 -        - - - -        - - - -        - -  -  -        -  -  -
  2 -        - - - -        - - - -        - -  -  -        -  -  -
  3 -        - - - -        - - - -        - -  -  -        -  -  -
  4 4        - - - 4        - - - 4        - -  -  4        -  -  -
  5 -        - - - -        - - - -        - -  -  -        -  -  -
  6 -        - - - -        - - - -        - -  -  -        -  -  -
  7 -        - - - -        - - - -        - -  -  -        -  -  -
  8 -|44|44r - - - -|44|44r - - - 8|44|44r - -  -  -|44|44r -  -  -
"""
)

ACQ_CMB = Table(
    r"""
w\o 0        1 2 3 4        5 6 7 8        9 10 11 12       13 14 15
  1 -        - - - -        - - - -        - -  -  -        -  -  -
  2 -        - - - -        - - - -        - -  -  -        -  -  -
  3 -        - - - -        - - - -        - -  -  -        -  -  -
  4 4        - - - 4        - - - 4        - -  -  4        -  -  -
  5 -        - - - -        - - - -        - -  -  -        -  -  -
  6 -        - - - -        - - - -        - -  -  -        -  -  -
  7 -        - - - -        - - - -        - -  -  -        -  -  -
  8 8|44|44r - - - -|44|44r - - - -|44|44r - -  -  -|44|44r -  -  -
"""
)

DOORBELLS = Table(
    r"""
w\o 0        1 2 3 4        5 6 7 8        9 10 11 12       13 14 15
  1 -        - - - -        - - - -        - -  -  -        -  -  -
  2 -        - - - -        - - - -        - -  -  -        -  -  -
  3 -        - - - -        - - - -        - -  -  -        -  -  -
  4 4        - - - 4        - - - 4        - -  -  4        -  -  -
  5 -        - - - -        - - - -        - -  -  -        -  -  -
  6 -        - - - -        - - - -        - -  -  -        -  -  -
  7 -        - - - -        - - - -        - -  -  -        -  -  -
  8 -|44|44r - - - -|44|44r - - - -|44|44r - -  -  -|44|44r -  -  -
"""
)

PRESET = Preset(
    name="nvme",
    title="NVMe controller registers",
    sources=(
        Source(
            "NVMe Base 1.4 §3.1; NVMe over PCIe 1.0 §3.1.1",
            '"The host shall access registers in their native width or aligned 32-bit '
            'accesses"; "Accesses that target any portion of two or more registers are not '
            'supported"',
        ),
        Source(
            "NVMe Base 2.0 §3.1.3",
            "CAP, ASQ and ACQ have 64 bits, at 0x00, 0x28 and 0x30; all others in these "
            "cells have 32",
        ),
    ),
    cells=(
        Cell(0x00, CAP_VS, CAP_VS, "CAP, VS, INTMS"),
        Cell(0x10, INTMC_CSTS, INTMC_CSTS, "INTMC, CC, CSTS"),
        Cell(0x20, AQA_ASQ, AQA_ASQ, "NSSR, AQA, ASQ"),
        Cell(0x30, ACQ_CMB, ACQ_CMB, "ACQ, CMBLOC, CMBSZ"),
        Cell(0x1000, DOORBELLS, DOORBELLS, "doorbells"),
    ),
    must_fail="strict",
    notes=("64 bits over two registers may be refused, or be two accesses of 32."),
)
