"""What the system calls 352 and 353 answer on mappings of a BAR: literal, with nothing of pymmio.

Seen with Linux 7.2.12 (arch/s390/pci/pci_mmio.c) on QEMU 10.0.2, which has no memory-I/O
instructions.  Rows with ENXIO are the answer of QEMU's NVMe controller to unaligned accesses:
zPCI itself forbids only the crossing of 8 bytes.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import pymmio
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.s390x.raw import (
    PAGE,
    PCI_MMIO_READ,
    PCI_MMIO_WRITE,
    Buffer,
    mapped,
    page_buffer,
    pci_call,
)

REGISTERS, MEMORY = 0, 2  # BARs
CMB_BYTES = 1 << 20
CALLS = (PCI_MMIO_READ, PCI_MMIO_WRITE)
MEM = 1 << 1  # PCI Local Bus 3.0 §6.2.2: COMMAND, memory space

# (offset, length): answer; in registers (BAR 0) only reads, in the memory buffer (BAR 2) both.
BOTH = {
    (0, 1): "ok",
    (0, 2): "ok",
    (0, 4): "ok",
    (0, 8): "ok",
    (3, 1): "ok",
    (6, 1): "ok",
    (0, 3): "ok",
    (8, 5): "ok",
    (8, 6): "ok",
    (8, 7): "ok",
    (0, 16): "ok",
    (0, 64): "ok",
    (0, 4096): "ok",
    (1, 2): "ENXIO",
    (5, 2): "ENXIO",
    (9, 2): "ENXIO",
    (7, 2): "ENXIO",  # crosses 8 bytes
    (2, 4): "ENXIO",
    (6, 4): "ENXIO",  # crosses 8 bytes
    (4, 8): "ENXIO",  # crosses 8 bytes
    (4092, 8): "EINVAL",  # crosses a page
    (4095, 2): "EINVAL",
    (0, 0): "EINVAL",
    (0, 4097): "EINVAL",
}


@contextmanager
def _bar(index: int) -> Iterator[tuple[pymmio.Device, tuple[int, int], int]]:
    """Open the controller; yield it with what maps the BAR, and the BAR's size."""
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}") as device:
            source = device.handle.open_region(index).mmap_source()
            assert source is not None
            yield device, source, device.regions[index].size


def _answers(number: int, base: int, buffer: Buffer) -> dict[tuple[int, int], str]:
    return {
        (offset, length): pci_call(number, base + offset, buffer.address, length)
        for offset, length in BOTH
    }


@case(guest="s390x", timeout_s=120)
def case_reads_of_registers() -> None:
    buffer = page_buffer()
    with _bar(REGISTERS) as (_, source, size), mapped(source, size) as base:
        assert _answers(PCI_MMIO_READ, base, buffer) == BOTH
        assert pci_call(PCI_MMIO_READ, base + 8, buffer.address, 4) == "ok"
        # Bytes as they lie on the bus: the version of the controller is 1.4.0, little-endian.
        assert buffer.memory[:4] == b"\x00\x04\x01\x00", platform.release()


@case(guest="s390x", timeout_s=120)
def case_reads_and_writes_of_the_memory_buffer() -> None:
    buffer = page_buffer()
    with _bar(MEMORY) as (_, source, size), mapped(source, size) as base:
        assert size == CMB_BYTES
        assert _answers(PCI_MMIO_READ, base, buffer) == BOTH
        assert _answers(PCI_MMIO_WRITE, base, buffer) == BOTH


@case(guest="s390x", timeout_s=120)
def case_ends_of_a_mapping() -> None:
    here = page_buffer()
    buffer = here.address
    with _bar(MEMORY) as (_, source, size):
        with mapped(source, size) as base:
            for number in CALLS:
                assert pci_call(number, base + size - 1, buffer, 1) == "ok"
                assert pci_call(number, base + size - 4, buffer, 8) == "EINVAL"
                assert pci_call(number, 0, buffer, 4) == "EINVAL"
                assert pci_call(number, buffer, buffer + PAGE, 4) == "EINVAL"  # not PCI
                assert pci_call(number, base, 8, 4) == "EFAULT"
            # Behind it lies a page that is not PCI memory.
            ends = [pci_call(number, base + size, buffer, 4) for number in CALLS]
            assert ends == ["EINVAL", "EINVAL"]
        assert pci_call(PCI_MMIO_READ, base, buffer, 4) == "EINVAL"  # unmapped
        assert pci_call(PCI_MMIO_WRITE, base, buffer, 4) == "EINVAL"


@case(guest="s390x", timeout_s=120)
def case_mapping_that_is_only_readable() -> None:
    here = page_buffer()
    buffer = here.address
    with _bar(MEMORY) as (_, source, size), mapped(source, size, writable=False) as base:
        assert pci_call(PCI_MMIO_READ, base, buffer, 4) == "ok"
        assert pci_call(PCI_MMIO_WRITE, base, buffer, 4) == "EACCES"


@case(guest="s390x", timeout_s=120)
def case_memory_decoding_is_off() -> None:
    here = page_buffer()
    buffer = here.address
    with _bar(REGISTERS) as (device, source, size), mapped(source, size) as base:
        device.config.update_command(off=MEM)
        assert pci_call(PCI_MMIO_READ, base, buffer, 4) == "EINVAL"
        assert pci_call(PCI_MMIO_WRITE, base + 0x14, buffer, 4) == "EINVAL"
        device.config.update_command(on=MEM)
        assert pci_call(PCI_MMIO_READ, base, buffer, 4) == "ok"


@case(guest="s390x", timeout_s=120)
def case_more_than_8_bytes_at_once_are_reversed_by_qemu() -> None:
    # Why no register, and no copy, ever goes by a call of more than 8 bytes.
    here = page_buffer()
    with _bar(MEMORY) as (_, source, size), mapped(source, size) as base:
        here.memory[:16] = bytes(range(16))
        assert pci_call(PCI_MMIO_WRITE, base, here.address, 16) == "ok"
        for offset in (0, 8):
            assert pci_call(PCI_MMIO_READ, base + offset, here.address + PAGE + offset, 8) == "ok"
        assert here.memory[PAGE : PAGE + 16] == bytes([*range(7, -1, -1), *range(15, 7, -1)])
