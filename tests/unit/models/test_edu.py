"""The edu model against the numbers of QEMU's docs/specs/edu.rst."""

from __future__ import annotations

import math

import pytest

from pymmio.errors import UriError
from pymmio.handle import IrqKind
from pymmio.models.edu import EduModel

from .fake_host import FakeHost

ONES32 = 0xFFFF_FFFF
ONES64 = 0xFFFF_FFFF_FFFF_FFFF


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def attached(host: FakeHost, **options: str) -> EduModel:
    model = EduModel(**options)
    model.attach(host)
    return model


@pytest.fixture
def edu(host: FakeHost) -> EduModel:
    return attached(host)


def test_identity_is_that_of_qemu() -> None:
    assert (EduModel.vendor_id, EduModel.device_id) == (0x1234, 0x11E8)
    assert EduModel.bars[0].size == 1024 * 1024
    assert EduModel.msi_vectors == 1
    assert EduModel.has_intx
    assert EduModel.msix_vectors == 0


def test_identification_register(edu: EduModel) -> None:
    assert edu.bar_read(0, 0x00, 4) == 0x010000ED


def test_liveness_register_inverts(edu: EduModel) -> None:
    edu.bar_write(0, 0x04, 4, 0x12345678)
    assert edu.bar_read(0, 0x04, 4) == 0xEDCBA987


@pytest.mark.parametrize("number", [0, 1, 5, 12, 13, 20, 33, 34, 40, 0xFFFF_FFFF])
def test_factorial_is_modulo_32_bits(edu: EduModel, number: int) -> None:
    edu.bar_write(0, 0x08, 4, number)
    assert edu.bar_read(0, 0x20, 4) & 1 == 0
    expected = math.factorial(number) % 2**32 if number < 100 else 0
    assert edu.bar_read(0, 0x08, 4) == expected


def test_factorial_stays_computing_for_the_asked_number_of_reads(host: FakeHost) -> None:
    edu = attached(host, busy_reads="2")
    edu.bar_write(0, 0x08, 4, 5)
    edu.bar_write(0, 0x08, 4, 3)  # ignored while computing
    assert [edu.bar_read(0, 0x20, 4) for _ in range(4)] == [1, 1, 0, 0]
    assert edu.bar_read(0, 0x08, 4) == 120


def test_factorial_raises_interrupt_only_when_asked(edu: EduModel, host: FakeHost) -> None:
    edu.bar_write(0, 0x08, 4, 4)
    assert host.irqs == []
    edu.bar_write(0, 0x20, 4, 0x80)
    edu.bar_write(0, 0x08, 4, 4)
    assert (IrqKind.MSI, 0) in host.irqs
    assert edu.bar_read(0, 0x24, 4) == 0x001
    assert edu.bar_read(0, 0x20, 4) == 0x80


def test_only_the_interrupt_bit_of_status_is_writable(edu: EduModel) -> None:
    edu.bar_write(0, 0x20, 4, ONES32)
    assert edu.bar_read(0, 0x20, 4) == 0x80
    edu.bar_write(0, 0x20, 4, 0)
    assert edu.bar_read(0, 0x20, 4) == 0


def test_finish_ends_work_for_a_driver_that_waits_for_the_interrupt(host: FakeHost) -> None:
    edu = attached(host, busy_reads="1000000")
    edu.bar_write(0, 0x20, 4, 0x80)
    edu.bar_write(0, 0x08, 4, 6)
    assert host.irqs == []
    edu.finish()
    assert host.take_irqs(IrqKind.MSI) == [0]
    assert edu.bar_read(0, 0x08, 4) == 720


def test_interrupt_raise_and_acknowledge(edu: EduModel, host: FakeHost) -> None:
    edu.bar_write(0, 0x60, 4, 0x6)
    edu.bar_write(0, 0x60, 4, 0x8)
    assert edu.bar_read(0, 0x24, 4) == 0xE
    assert host.intx_level
    assert host.take_irqs(IrqKind.MSI) == [0, 0]
    edu.bar_write(0, 0x64, 4, 0x6)
    assert edu.bar_read(0, 0x24, 4) == 0x8
    assert host.intx_level
    edu.bar_write(0, 0x64, 4, 0x8)
    assert not host.intx_level


def start_dma(edu: EduModel, source: int, destination: int, count: int, command: int) -> None:
    for offset, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, command)):
        edu.bar_write(0, offset, 8, value)


def test_dma_there_and_back(edu: EduModel, host: FakeHost) -> None:
    memory = host.map(0x10000, 8192)
    memory[0:4096] = bytes(i % 251 for i in range(4096))
    start_dma(edu, 0x10000, 0x40000, 4096, 0x1)
    start_dma(edu, 0x40000, 0x11000, 4096, 0x3)
    assert memory[4096:] == memory[:4096]
    assert edu.bar_read(0, 0x98, 8) == 0x2
    assert host.irqs == []


def test_dma_uses_offsets_inside_the_buffer(edu: EduModel, host: FakeHost) -> None:
    memory = host.map(0x10000, 4096)
    memory[0:4] = b"abcd"
    start_dma(edu, 0x10000, 0x40FFC, 4, 0x1)
    assert edu.buffer[0xFFC:] == b"abcd"
    start_dma(edu, 0x40FFE, 0x10010, 2, 0x3)
    assert memory[0x10:0x12] == b"cd"


def test_dma_interrupt(edu: EduModel, host: FakeHost) -> None:
    host.map(0x10000, 4096)
    start_dma(edu, 0x10000, 0x40000, 16, 0x5)
    assert edu.bar_read(0, 0x24, 4) == 0x100
    assert host.take_irqs(IrqKind.MSI) == [0]


def test_dma_registers_are_locked_while_a_transfer_runs(host: FakeHost) -> None:
    edu = attached(host, busy_reads="2")
    host.map(0x10000, 4096)[0:4] = b"wxyz"
    start_dma(edu, 0x10000, 0x40000, 4, 0x1)
    edu.bar_write(0, 0x90, 8, 1)
    assert edu.bar_read(0, 0x90, 8) == 4
    assert [edu.bar_read(0, 0x98, 4) for _ in range(3)] == [1, 1, 0]
    assert edu.buffer[:4] == b"wxyz"


def test_dma_command_without_start_bit_is_ignored(edu: EduModel) -> None:
    edu.bar_write(0, 0x98, 4, 0x6)
    assert edu.bar_read(0, 0x98, 4) == 0


def test_dma_address_goes_through_the_mask(edu: EduModel, host: FakeHost) -> None:
    memory = host.map(0x10000, 4096)
    memory[0:4] = b"mask"
    start_dma(edu, 0xF_0001_0000, 0x40000, 4, 0x1)
    assert edu.buffer[:4] == b"mask"


def test_a_wider_mask_reaches_high_memory(host: FakeHost) -> None:
    edu = attached(host, dma_mask="0xffffffffffffffff")
    host.map(0xF_0001_0000, 4096)[0:4] = b"high"
    start_dma(edu, 0xF_0001_0000, 0x40000, 4, 0x1)
    assert edu.buffer[:4] == b"high"


@pytest.mark.parametrize(
    ("source", "destination", "count", "command"),
    [
        (0x10000, 0x40000, 4097, 1),
        (0x10000, 0x40001, 4096, 1),
        (0x10000, 0x3FFFF, 16, 1),
        (0x10000, 0, 16, 1),
        (0x10000, ONES64, 16, 1),
        (0x10000, 0x40000, ONES64, 1),
        (0x40FFF, 0x10000, 2, 3),
        (0x40000, 0x10000, 0, 3),
        (0x666000, 0x40000, 16, 1),
        (0x40000, 0x666000, 16, 3),
        (0x10FF8, 0x40000, 16, 1),
    ],
)
def test_a_bad_range_moves_nothing_and_ends(
    edu: EduModel, host: FakeHost, source: int, destination: int, count: int, command: int
) -> None:
    memory = host.map(0x10000, 4096)
    memory[:] = b"\x55" * 4096
    start_dma(edu, source, destination, count, command)
    assert edu.bar_read(0, 0x98, 4) & 1 == 0
    assert edu.buffer == bytes(4096)
    assert memory == b"\x55" * 4096


@pytest.mark.parametrize("width", [1, 2, 8])
def test_low_registers_take_only_4_byte_accesses(edu: EduModel, width: int) -> None:
    edu.bar_write(0, 0x04, width, 0)
    assert edu.bar_read(0, 0x04, 4) == 0
    assert edu.bar_read(0, 0x00, width) == (1 << (8 * width)) - 1


def test_dma_registers_take_4_and_8_byte_accesses(edu: EduModel) -> None:
    edu.bar_write(0, 0x80, 8, 0x1122334455667788)
    assert edu.bar_read(0, 0x80, 8) == 0x1122334455667788
    assert edu.bar_read(0, 0x80, 4) == 0x55667788
    edu.bar_write(0, 0x80, 4, 0x99)
    assert edu.bar_read(0, 0x80, 8) == 0x99
    assert edu.bar_read(0, 0x80, 2) == 0xFFFF


@pytest.mark.parametrize("offset", [0x0C, 0x10, 0x68, 0x84, 0x40000, 0xFFFFC])
def test_unknown_offsets_read_all_ones_and_ignore_writes(edu: EduModel, offset: int) -> None:
    edu.bar_write(0, offset, 4, 1)
    assert edu.bar_read(0, offset, 4) == ONES32


def test_reset_clears_everything(edu: EduModel, host: FakeHost) -> None:
    host.map(0x10000, 4096)[0:4] = b"abcd"
    start_dma(edu, 0x10000, 0x40000, 4, 0x5)
    edu.reset()
    assert edu.bar_read(0, 0x24, 4) == 0
    assert edu.bar_read(0, 0x80, 8) == 0
    assert edu.buffer == bytes(4096)
    assert not host.intx_level


@pytest.mark.parametrize("options", [{"dma_mask": "many"}, {"busy_reads": "-1"}])
def test_bad_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UriError, match=next(iter(options))):
        EduModel(**options)
