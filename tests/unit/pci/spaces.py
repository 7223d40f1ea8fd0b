"""Configuration spaces with literal content, laid out like those of QEMU's devices."""

from __future__ import annotations

from .fakes import FakeConfig


def literal(parts: dict[int, str], size: int) -> FakeConfig:
    """Make a configuration space from offsets and hexadecimal bytes."""
    content = bytearray(size)
    for offset, text in parts.items():
        data = bytes.fromhex(text)
        content[offset : offset + len(data)] = data
    return FakeConfig(content, size=size)


def nvme() -> FakeConfig:
    """QEMU's nvme (1b36:0010): MSI-X at 40h, PCI Express at 80h, power management at 60h."""
    fake = literal(
        {
            0x00: "36 1b 10 00 07 05 10 00 02 02 08 01 00 00 00 00",
            0x10: "04 00 bf fe 00 00 00 00 00 00 00 00 00 00 00 00",
            0x20: "00 00 00 00 00 00 00 00 00 00 00 00 f4 1a 00 11",
            0x30: "00 00 00 00 40 00 00 00 00 00 00 00 0b 01 00 00",
            # MSI-X: enabled, 65 vectors, table at BAR0+2000h, pending bits at BAR0+3000h
            0x40: "11 80 40 80 00 20 00 00 00 30 00 00",
            # PCI Express v2 endpoint: FLR, 128-byte payload, 2.5 GT/s x1
            0x80: "10 60 02 00 00 80 00 10 00 20 00 00 11 04 00 00 00 00 11 00",
            0xA4: "00 00 00 00 00 00 00 00 02 00 00 00",
            # power management v3: D0, no soft reset
            0x60: "01 00 03 00 08 00 00 00",
            # AER
            0x100: "01 00 02 00",
        },
        4096,
    )
    fake.put_mask(0x64, 2, 0x0103)
    return fake


def e1000e() -> FakeConfig:
    """QEMU's e1000e (8086:10d3): power management c8h, MSI d0h, PCI Express e0h, MSI-X a0h."""
    fake = literal(
        {
            0x00: "86 80 d3 10 07 05 10 00 00 00 00 02 00 00 00 00",
            0x10: "00 00 b8 fe 00 00 ba fe 01 c0 00 00 00 00 bc fe",
            0x20: "00 00 00 00 00 00 00 00 00 00 00 00 86 80 00 00",
            0x30: "00 00 00 00 c8 00 00 00 00 00 00 00 0a 01 00 00",
            # 5 vectors, not enabled, table at BAR3+0, pending bits at BAR3+2000h
            0xA0: "11 00 04 00 03 00 00 00 03 20 00 00",
            # power management v2: PME from D0 and D3hot, D3hot now, PME status set
            0xC8: "01 d0 22 c8 03 81 00 00",
            # MSI: 64-bit, one vector, enabled
            0xD0: "05 e0 81 00 0c 00 e0 fe 01 00 00 00 41 00 00 00",
            # PCI Express v1 endpoint
            0xE0: "10 a0 01 00 c1 8c 00 00 30 58 20 00 11 3c 03 00 40 00 11 00",
            # AER, then device serial number
            0x100: "01 00 02 14",
            0x140: "03 00 01 00 56 34 12 ff ff 00 54 52",
        },
        4096,
    )
    fake.put_mask(0xCC, 2, 0x1F03)
    return fake


def virtio_rng() -> FakeConfig:
    """QEMU's virtio-rng-pci, modern, as conventional device: five vendor capabilities, MSI-X."""
    return literal(
        {
            0x00: "f4 1a 44 10 07 05 10 00 01 00 ff 00 00 00 00 00",
            0x2C: "f4 1a 00 11",
            0x34: "98",
            0x98: "11 84 01 00 01 00 00 00 01 08 00 00",
            0x84: "09 70 14 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
            0x70: "09 60 14 02 04 00 00 00 00 30 00 00 00 10 00 00 04 00 00 00",
            0x60: "09 50 10 04 04 00 00 00 00 20 00 00 00 10 00 00",
            0x50: "09 40 10 03 04 00 00 00 00 10 00 00 00 10 00 00",
            0x40: "09 00 10 01 04 00 00 00 00 00 00 00 00 10 00 00",
        },
        256,
    )
