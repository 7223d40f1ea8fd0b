"""QEMU's mapped device memory from 2023: copies by the compiler."""

from __future__ import annotations

from pymmio.check.rules.table import Preset, Source, Table, everywhere

__all__ = ["PRESET"]

TABLE = Table(
    r"""
w\o 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
  1 1 1 1 1 1 1 1 1 1 1 1  1  1  1  1  1
  2 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  3 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  4 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  5 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  6 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  7 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
  8 ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ ~  ~  ~  ~  ~  ~
"""
)

PRESET = Preset(
    name="qemu-ram-device-2023",
    title="QEMU ram_device, 2023 to 2026",
    sources=(
        Source(
            "QEMU commit 2b8fe81b3c2e (8.2, 2023; stable branches from 7.2.8), system/memory.c, "
            "ram_device_mem_ops",
            "ldn_he_p and stn_he_p; unaligned accesses are valid",
        ),
        Source(
            "QEMU commit 77b17570900f, include/qemu/bswap.h, lduw_he_p() and its kind",
            "__builtin_memcpy of 2, 4 or 8 bytes, which the compiler may make an access of; one "
            "byte is a dereference",
        ),
    ),
    cells=everywhere(TABLE),
    must_fail="strict",
    notes=(
        "A compiler may make any loads and stores of a __builtin_memcpy; only a single byte "
        "is sure to be one access. What a build really does is for pymmio check accessors."
    ),
)
