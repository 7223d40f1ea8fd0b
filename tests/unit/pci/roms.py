"""Expansion ROMs made for tests, byte by byte from PCI Local Bus 3.0 §6.3."""

from __future__ import annotations

import struct


def image(
    *,
    code_type: int = 0,
    units: int = 2,
    last: bool = True,
    vendor_id: int = 0x1234,
    device_id: int = 0x11E8,
    data_at: int = 0x1C,
    fill: int = 0x90,
) -> bytes:
    """Return an image of ``units`` times 512 bytes with a right x86 checksum."""
    content = bytearray([fill]) * (units * 512)
    content[:0x1C] = bytes(0x1C)
    content[0:3] = bytes([0x55, 0xAA, units])
    struct.pack_into("<H", content, 0x18, data_at)
    content[data_at : data_at + 0x18] = struct.pack(
        "<4sHHHHB3sHHBBH",
        b"PCIR",
        vendor_id,
        device_id,
        0,
        0x18,
        0,
        bytes.fromhex("00 00 02"),  # class code 020000, the low byte first
        units,
        0x0102,
        code_type,
        0x80 if last else 0,
        0,
    )
    content[-1] = -sum(content[:-1]) & 0xFF
    return bytes(content)
