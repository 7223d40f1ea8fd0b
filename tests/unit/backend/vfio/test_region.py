from __future__ import annotations

import errno

import pytest

from pymmio.backend.vfio.region import VfioRegion
from pymmio.errors import (
    AccessError,
    AccessFault,
    Closed,
    DeviceGone,
    Misaligned,
    ProtocolError,
    ReadOnly,
    WidthRefused,
    WriteOnly,
)
from tests.unit.backend.vfio.fake_kernel import ADDRESS, FakeKernel, FakeRegion
from tests.unit.backend.vfio.helpers import open_fake


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def bar0(kernel: FakeKernel) -> VfioRegion:
    return open_fake(kernel).open_region(0)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_one_access_is_one_system_call_and_little_endian(kernel: FakeKernel, width: int) -> None:
    region = bar0(kernel)
    kernel.log.clear()
    value = int.from_bytes(bytes(range(1, width + 1)), "little")
    region.write(0x10, width, value)
    assert kernel.log == ["pwrite 0"]
    assert kernel.regions[0].content[0x10:0x19] == bytes(range(1, width + 1)).ljust(9, b"\0")
    assert region.read(0x10, width) == value
    assert kernel.log == ["pwrite 0", "pread 0"]


def test_accesses_land_in_their_region(kernel: FakeKernel) -> None:
    config = open_fake(kernel).open_region(7)
    assert config.read(0, 4) == 0x0010_1B36
    config.write(4, 2, 0x0002)
    assert kernel.regions[7].content[4] == 2


def test_eight_bytes_on_an_old_kernel_are_refused_untouched(kernel: FakeKernel) -> None:
    kernel.uname = ("6.1.0-40-amd64", "x86_64")
    region = bar0(kernel)
    kernel.log.clear()
    with pytest.raises(WidthRefused, match=r"6\.1\.0-40-amd64 on x86_64.*order64") as caught:
        region.read(8, 8)
    with pytest.raises(WidthRefused):
        region.write(8, 8, 0)
    assert kernel.log == []
    assert (caught.value.region, caught.value.offset, caught.value.width) == ("BAR0", 8, 8)
    assert region.read(8, 4) == 0


@pytest.mark.parametrize("index", [2, 6, 7])
def test_eight_bytes_are_refused_outside_memory_bars(kernel: FakeKernel, index: int) -> None:
    kernel.regions[6] = FakeRegion(bytearray(0x800))
    with pytest.raises(WidthRefused, match="at most 4 bytes"):
        open_fake(kernel).open_region(index).read(0, 8)


def test_io_ports_are_refused_while_their_decoding_is_off(kernel: FakeKernel) -> None:
    ports = open_fake(kernel).open_region(2)
    kernel.log.clear()
    with pytest.raises(AccessFault, match="I/O decoding is off"):
        ports.read(0, 4)
    with pytest.raises(AccessFault, match="I/O decoding is off"):
        ports.write(0, 1, 0)
    assert "pread 2" not in kernel.log
    assert "pwrite 2" not in kernel.log
    kernel.regions[7].content[4] = 1  # COMMAND.IO
    ports.write(0, 1, 5)
    assert ports.read(0, 4) == 5
    kernel.errors["pread 7"] = errno.EIO
    with pytest.raises(AccessFault, match="config"):
        ports.read(0, 4)


def test_misaligned_accesses_are_refused_as_vfio_would_split_them(kernel: FakeKernel) -> None:
    region = bar0(kernel)
    kernel.log.clear()
    for offset, width in ((1, 2), (2, 4), (4, 8)):
        with pytest.raises(Misaligned, match="split"):
            region.read(offset, width)
        with pytest.raises(Misaligned):
            region.write(offset, width, 0)
    assert kernel.log == []


@pytest.mark.parametrize(("offset", "width"), [(0x2000, 1), (0x203F, 1), (0x2010, 4), (0x2038, 8)])
def test_the_msix_table_is_refused(kernel: FakeKernel, offset: int, width: int) -> None:
    region = bar0(kernel)
    kernel.log.clear()
    with pytest.raises(AccessError, match="MSI-X table"):
        region.read(offset, width)
    with pytest.raises(AccessError, match="MSI-X table"):
        region.write(offset, width, 0)
    assert kernel.log == []


def test_beside_the_msix_table_accesses_are_made(kernel: FakeKernel) -> None:
    region = bar0(kernel)
    assert region.read(0x1FF8, 8) == 0
    assert region.read(0x2040, 4) == 0


def test_a_device_without_msix_has_no_hidden_part(kernel: FakeKernel) -> None:
    kernel.irqs[2] = (0b0001, 0)
    assert bar0(kernel).read(0x2000, 4) == 0


def test_a_table_in_another_bar_hides_nothing_here(kernel: FakeKernel) -> None:
    kernel.regions[7].content[0x44] = 2  # table BIR
    assert bar0(kernel).msix_table is None


def test_a_looping_capability_list_is_refused(kernel: FakeKernel) -> None:
    kernel.regions[7].content[0x40:0x42] = b"\x09\x40"
    with pytest.raises(ProtocolError):
        bar0(kernel)


def test_eio_is_an_access_fault_that_names_the_likely_causes(kernel: FakeKernel) -> None:
    region = bar0(kernel)
    kernel.errors["pread 0"] = kernel.errors["pwrite 0"] = errno.EIO
    with pytest.raises(AccessFault, match=r"EIO.*COMMAND.*D3hot") as caught:
        region.read(4, 4)
    assert caught.value.cause_code == errno.EIO
    assert not caught.value.is_write
    with pytest.raises(AccessFault) as caught:
        region.write(4, 4, 0xABCD)
    assert (caught.value.is_write, caught.value.value) == (True, 0xABCD)


def test_eio_of_a_device_that_left_sysfs_is_device_gone(kernel: FakeKernel) -> None:
    region = bar0(kernel)
    kernel.errors["pread 0"] = errno.EIO
    kernel.remove_device()
    with pytest.raises(DeviceGone, match=r"BAR0: read of 4 bytes at 0x4"):
        region.read(4, 4)


@pytest.mark.parametrize(("offset", "width"), [(6, 2), (0x3C, 4)])
def test_eio_with_all_ones_in_configuration_space_is_device_gone(
    kernel: FakeKernel, offset: int, width: int
) -> None:
    region = bar0(kernel)
    kernel.errors["pread 0"] = errno.EIO
    kernel.regions[7].content[offset : offset + width] = b"\xff" * width
    with pytest.raises(DeviceGone):
        region.read(4, 4)


def test_eio_while_configuration_space_fails_too_stays_an_access_fault(
    kernel: FakeKernel,
) -> None:
    region = bar0(kernel)
    kernel.errors["pread 0"] = kernel.errors["pread 7"] = errno.EIO
    with pytest.raises(AccessFault):
        region.read(4, 4)
    kernel.errors["pread 7"] = errno.ENODEV
    with pytest.raises(DeviceGone):
        region.read(4, 4)


def test_enodev_is_device_gone(kernel: FakeKernel) -> None:
    region = bar0(kernel)
    kernel.errors["pwrite 0"] = errno.ENODEV
    with pytest.raises(DeviceGone):
        region.write(0, 4, 1)


def test_short_transfers_are_faults_never_data(kernel: FakeKernel) -> None:
    region = bar0(kernel)
    kernel.max_transfer = 2
    with pytest.raises(AccessFault, match="2 bytes"):
        region.read(0, 4)
    with pytest.raises(AccessFault, match="2 bytes"):
        region.write(0, 4, 1)
    assert region.read(0, 2) == 1


def test_regions_for_one_direction_only(kernel: FakeKernel) -> None:
    kernel.regions[6] = FakeRegion(bytearray(16), 0b0001)
    kernel.regions[8] = FakeRegion(bytearray(16), 0b0010)
    device = open_fake(kernel)
    with pytest.raises(ReadOnly):
        device.open_region(6).write(0, 4, 1)
    with pytest.raises(WriteOnly):
        device.open_region(8).read(0, 4)


def test_sources_of_mappings_and_system_calls(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    fd = next(fd for fd, what in kernel.open_fds.items() if what == ADDRESS)
    assert device.open_region(0).mmap_source() == (fd, 0)
    assert device.open_region(2).mmap_source() is None
    assert device.open_region(2).pread_source() == (fd, 2 << 40)


def test_access_after_close_raises(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    region = device.open_region(0)
    device.close()
    with pytest.raises(Closed):
        region.read(0, 4)
    with pytest.raises(Closed):
        region.mmap_source()
