"""QEMU's mapped device memory from 2026: atomic where it is aligned."""

from __future__ import annotations

from pymmio.check.rules.table import Preset, Source, Table, everywhere

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
  1 1 1 1 1 1 1 1 1 1 1 1  1  1  1  1  1
  2 2 ~ 2 ~ 2 ~ 2 ~ 2 ~ 2  ~  2  ~  2  ~
  3 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  4 4 ~ ~ ~ 4 ~ ~ ~ 4 ~ ~  ~  4  ~  ~  ~
  5 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  6 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  7 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  8 8 ~ ~ ~ ~ ~ ~ ~ 8 ~ ~  ~  ~  ~  ~  ~
"""
)

PRESET = Preset(
    name="qemu-ram-device-2026",
    title="QEMU ram_device, from 2026",
    sources=(
        Source(
            "QEMU developer documentation, memory API, qemu_ram_move() (2026)",
            "1, 2, 4 or 8 bytes that are naturally aligned on both sides are one atomic load "
            "and one atomic store; any other move promises no more than memmove()",
        ),
        Source(
            "QEMU system/memory.c (0102503dc58d), memory_region_init_ram_device_ptr()",
            "ram_device_mem_ops are gone: mapped device memory is reached as RAM is, by that move",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="bytes",
)
