"""Devices without VFIO: the files of sysfs, and ranges of /dev/mem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymmio
from pymmio.backend.sysfs.devmem import look_at_physical, open_physical
from pymmio.backend.sysfs.function import SysfsFunction
from pymmio.backend.sysfs.iomem import parse_iomem
from pymmio.backend.sysfs.machine import MACHINE
from pymmio.errors import (
    AccessFault,
    DeviceBusy,
    DeviceGone,
    DeviceNotFound,
    PermissionRefused,
    ReadOnly,
    Unsupported,
)
from pymmio.pci import Command, PciAddress
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from tests.contract.asking import keeps
from tests.contract.backends import SYSFS
from tests.guest.case import case
from tests.guest.cases.vfio_common import in_child, open_descriptors, refuses
from tests.guest.inside import (
    EDU,
    NVME,
    PCI_TESTDEV,
    Function,
    find_function,
    find_functions,
    give_back,
    wait_until,
)

SDHCI = (0x1B36, 0x0007)
IVSHMEM = (0x1AF4, 0x1110)
VIRTIO_PMEM = (0x1AF4, 0x105B)  # virtio 1.2 §5.19.1: 0x1040 + 27
EDU_ID = 0x010000ED  # QEMU docs/specs/edu.rst: identification at 0x00
CC, CSTS, AQA, ASQ, ACQ = 0x14, 0x1C, 0x24, 0x28, 0x30  # NVMe Base 2.0 §3.1.3
ENABLE = 4 << 20 | 6 << 16 | 1  # entries of 16 and 64 bytes, CC.EN
BAR0 = 0x10  # PCI Local Bus 3.0 §6.1
NOBODY = 65534

on_sysfs_guest = case(guest="sysfs")


def uri_of(function: Function, options: str = "") -> str:
    return f"sysfs:{function.address}{options}"


def bar_of(function: Function, index: int) -> tuple[int, int]:
    """Return (address, size) of a BAR."""
    found = SysfsFunction.look_up(MACHINE, PciAddress.parse(function.address))
    bars = {bar.index: bar for bar in found.bars}
    return bars[index].address, bars[index].size


@contextmanager
def without_driver(function: Function) -> Iterator[Function]:
    """Take the kernel's driver away for the block."""
    assert function.driver is not None
    (function.path / "driver" / "unbind").write_text(function.address)
    try:
        yield function
    finally:
        assert give_back(function) is not None


@contextmanager
def free_nvme() -> Iterator[Function]:
    with without_driver(find_function(NVME)) as function:
        yield function


# --- devices ---------------------------------------------------------------------------------


@on_sysfs_guest
def case_edu_driver_works_as_far_as_it_needs_no_memory() -> None:
    function = find_function(EDU)
    enabled = function.path / "enable"
    assert enabled.read_text().strip() == "0"
    before = open_descriptors()
    with Edu.open(uri_of(function)) as edu:
        assert edu.is_alive()
        assert edu.factorial(12) == 479001600
        assert edu.regs.identification.read().magic == 0xED
        assert edu.device.region(0).access == "mapped"
        assert enabled.read_text().strip() == "1"
        with refuses(Unsupported, "no DMA memory"):
            edu.alloc()
        with refuses(Unsupported, "no interrupts at all"):
            edu.factorial(3, by_interrupt=True)
        assert not edu.device.config.command & Command.BUS_MASTER
        with refuses(Unsupported, "cannot be reset"):
            edu.device.reset()
    assert enabled.read_text().strip() == "0"
    assert open_descriptors() == before


@on_sysfs_guest
def case_device_of_a_driver_is_refused_by_its_name() -> None:
    with refuses(DeviceBusy, "the kernel's driver nvme"):
        pymmio.open_device(uri_of(find_function(NVME)))


@on_sysfs_guest
def case_config_of_a_device_in_use_can_be_looked_at() -> None:
    function = find_function(NVME)
    with pymmio.open_device(uri_of(function, "?config")) as device:
        assert device.config.ids.vendor_id == NVME[0]
        assert {"MsiX", "PciExpress"} <= {type(c).__name__ for c in device.config.capabilities()}
        assert device.config.command & Command.BUS_MASTER
        with refuses(ReadOnly, "cannot be written"):
            device.config.update_command(off=Command.BUS_MASTER)
    disk_is_readable()


@on_sysfs_guest
def case_force_leaves_the_driver_its_device() -> None:
    function = find_function(NVME)
    with pymmio.open_device(uri_of(function, "?force")) as device:
        assert device.region(0).read32(CSTS) & 1
    disk_is_readable()


def disk_is_readable() -> None:
    with open("/dev/nvme0n1", "rb", buffering=0) as disk:
        os.posix_fadvise(disk.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert len(disk.read(4096)) == 4096


@on_sysfs_guest
def case_nvme_registers_are_read_and_its_driver_is_refused_before_it_touches_them() -> None:
    with free_nvme() as function:
        with pymmio.open_device(uri_of(function)) as device:
            bar = device.region(0)
            assert bar.read32(0x08) >> 16 == 1  # version 1.x
            assert bar.read64(0x00) & 0xFFFF  # CAP.MQES
            bar.write32(AQA, 0x0007_0007)
            assert bar.read32(AQA) == 0x0007_0007
            before = [bar.read32(offset) for offset in (CC, CSTS, AQA)]
            with refuses(Unsupported, "no DMA memory", "vfio:"):
                Controller.open(device)
            assert [bar.read32(offset) for offset in (CC, CSTS, AQA)] == before
        with refuses(Unsupported, "no DMA memory"):
            Controller.open(uri_of(function))


@on_sysfs_guest
def case_reset_goes_by_the_file() -> None:
    with free_nvme() as function, pymmio.open_device(uri_of(function)) as device:
        bar = device.region(0)
        bar.write32(AQA, 0x0007_0007)
        for queue in (ASQ, ACQ):  # no bus mastering: nothing is read there
            bar.write64(queue, 0x1000)
        bar.write32(CC, ENABLE)
        bar.wait32(CSTS, mask=1, value=1, timeout_s=5.0)
        assert "flr" in device.reset_methods()
        device.reset()
        assert bar.read32(CC) & 1 == 0
        assert bar.read32(0x08) >> 16 == 1


@on_sysfs_guest
def case_ports_are_read_and_written_in_one_access_each() -> None:
    with pymmio.open_device(uri_of(find_function(PCI_TESTDEV))) as device:
        ports = device.region(1)
        assert ports.access == "pread"
        ports.write8(0, 0)  # QEMU docs/specs/pci-testdev.rst: choose test 0
        offset, width = ports.read32(4), ports.read8(1)
        before = ports.read32(12)  # how often the test's own port was written rightly
        ports.write(offset, width, ports.read32(8) & (1 << 8 * width) - 1)
        assert ports.read32(12) == before + 1
        device.config.update_command(off=Command.IO)
        with refuses(AccessFault, "I/O decoding is off"):
            ports.read32(4)
        device.config.update_command(on=Command.IO)


def moved_together(*functions: Function) -> None:
    """Let Linux choose the addresses of BAR 0 anew: firmware gives each a page, Linux does not."""
    for function in functions:
        with open(function.path / "config", "r+b", buffering=0) as config:
            os.pwrite(config.fileno(), bytes(4), BAR0)
        (function.path / "remove").write_text("1")
    Path("/sys/bus/pci/rescan").write_text("1")
    for function in functions:
        wait_until(function.path.exists, 5.0, f"{function} to come back")


@on_sysfs_guest
def case_bars_that_share_a_page_are_told_apart() -> None:
    first, second = find_functions(SDHCI)
    moved_together(first, second)
    places = [bar_of(function, 0) for function in (first, second)]
    assert [size for _, size in places] == [256, 256]
    assert len({address // 4096 for address, _ in places}) == 1, places
    with pymmio.open_device(uri_of(first)) as one, pymmio.open_device(uri_of(second)) as other:
        # SD Host Controller 2.00 §2.2.1, §2.2.26, §2.2.35: system address, capabilities, version
        bars = [device.region(0) for device in (one, other)]
        for number, bar in enumerate(bars):
            assert (bar.access, bar.size) == ("mapped", 256)
            assert bar.read32(0x40) not in (0, 0xFFFF_FFFF)
            bar.write32(0x00, 0x1000 * (number + 1))
        assert [bar.read32(0x00) for bar in bars] == [0x1000, 0x2000]
        with refuses(IndexError, "does not lie inside"):
            bars[0].read32(256)


@on_sysfs_guest
def case_prefetchable_memory_can_be_mapped_write_combined() -> None:
    function = find_function(IVSHMEM)
    with pymmio.open_device(uri_of(function, "?wc=2")) as device:
        memory = device.region(2)
        memory.write_combined(0, bytes(range(64)))
        memory.flush_writes()
    with pymmio.open_device(uri_of(function)) as device:
        assert device.region(2).read_block(0, 64, width=8) == bytes(range(64))
    with refuses(Unsupported, "resource0_wc"):
        pymmio.open_device(uri_of(function, "?wc=0"))


@on_sysfs_guest
def case_device_that_is_removed_is_gone() -> None:
    function = find_function(EDU)
    device = pymmio.open_device(uri_of(function))
    bar = device.region(0)
    assert bar.read32(0) == EDU_ID
    (function.path / "remove").write_text("1")
    try:
        assert bar.read32(0) == EDU_ID  # unlike VFIO's, the mapping outlives the removal
        with refuses(DeviceGone, "gone"):
            bar.wait32(0, mask=1, value=0, timeout_s=0.01)
        with refuses(DeviceGone, "gone"):
            device.check_present()
        with refuses(DeviceGone, "gone"):
            device.config.read32(0)
        device.close()
        with refuses(DeviceNotFound, "no PCI device"):
            pymmio.open_device(uri_of(function))
    finally:
        Path("/sys/bus/pci/rescan").write_text("1")
        wait_until(function.path.exists, 5.0, "the device to come back")
    with Edu.open(uri_of(function)) as edu:
        assert edu.is_alive()


@on_sysfs_guest
def case_user_without_rights_is_told_so() -> None:
    function = find_function(EDU)

    def unprivileged() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        with refuses(PermissionRefused, "config", "EACCES"):
            pymmio.open_device(uri_of(function))
        with pymmio.open_device(uri_of(function, "?config")) as device:
            assert device.config.ids.vendor_id == EDU[0]
            with refuses(PermissionRefused, "first 64 bytes"):
                device.config.read32(0x80)
        with refuses(PermissionRefused, "CAP_SYS_ADMIN"):
            open_physical(0x1000, 0x1000)

    in_child(unprivileged)


# --- ranges ----------------------------------------------------------------------------------


@on_sysfs_guest
def case_free_bar_is_mapped_by_its_address() -> None:
    function = find_function(EDU)
    start, size = bar_of(function, 0)
    assert [claim.function for claim in look_at_physical(start, size)] == [function.address]
    with (
        pymmio.open_device(uri_of(function)),  # decodes memory
        open_physical(start, size) as memory,
    ):
        assert memory.region.read32(0) == EDU_ID
        memory.region.write32(4, 0x1234_5678)
        assert memory.region.read32(4) == ~0x1234_5678 & 0xFFFF_FFFF
        with refuses(Unsupported, "device memory"):
            memory.region.view()


@on_sysfs_guest
def case_bar_of_a_driver_is_refused_by_its_name() -> None:
    start, size = bar_of(find_function(NVME), 0)
    with refuses(DeviceBusy, "nvme has", "in a BAR of"):
        open_physical(start, size)
    with free_nvme() as function:
        with pymmio.open_device(uri_of(function)), open_physical(start, size) as memory:
            assert memory.region.read32(0x08) >> 16 == 1


@on_sysfs_guest
def case_bar_of_a_driver_that_left_no_line_is_refused_too() -> None:
    function = find_function(EDU)
    (function.path / "driver_override").write_text("uio_pci_generic\n")
    Path("/sys/bus/pci/drivers_probe").write_text(function.address)
    try:
        assert function.driver == "uio_pci_generic"
        with refuses(DeviceBusy, "the driver uio_pci_generic has"):
            open_physical(*bar_of(function, 0))
    finally:
        (function.path / "driver" / "unbind").write_text(function.address)
        give_back(function)


@on_sysfs_guest
def case_memory_of_the_kernel_and_of_firmware_is_refused() -> None:
    for start, owner in ((0x10_0000, "System RAM"), (0x3000_0000, "System RAM"), (0, "eserved")):
        with refuses(DeviceBusy, owner):
            open_physical(start, 0x1000)
    with refuses(DeviceNotFound, "unlisted=True"):
        open_physical(1 << 40, 0x1000)


def pmem_range() -> tuple[int, int]:
    """Return where the kernel's driver has the memory of the virtio-pmem device."""
    lines = parse_iomem(MACHINE.read_text("/proc/iomem"))
    (found,) = [one for one in lines if one.name == "namespace0.0"]
    return found.first, found.last - found.first + 1


def pmem_is_there() -> bool:
    try:
        os.close(os.open("/dev/pmem0", os.O_RDONLY))
    except OSError:  # the node outlives the former disk for a moment
        return False
    return True


@case(guest="sysfs", params=("cached", "uncached"))
def case_memory_of_virtio_pmem_is_ours_while_nobody_has_it(how: str) -> None:
    start, size = pmem_range()
    assert size == 16 << 20
    with refuses(DeviceBusy, "namespace0.0 has"):
        open_physical(start, size, unlisted=True)
    with open("/dev/pmem0", "r+b", buffering=0) as disk:
        disk.write(b"from the kernel!" * 32)
        os.fsync(disk.fileno())
    (function,) = find_functions(VIRTIO_PMEM)
    with without_driver(function):
        (claim,) = look_at_physical(start, size)
        assert claim.kind == "unlisted"  # QEMU's firmware tables do not name it
        with refuses(DeviceNotFound, "unlisted=True"):
            open_physical(start, size)
        with open_physical(start, size, cached=how == "cached", unlisted=True) as memory:
            assert memory.region.read_block(0, 16, width=8) == b"from the kernel!"
            memory.region.write_block(4096, b"from user space " + how.encode().ljust(16), width=8)
            if how == "cached":
                with memory.region.view() as view:
                    assert bytes(view[:16]) == b"from the kernel!"
    wait_until(pmem_is_there, 5.0, "the disk to come back")
    with open("/dev/pmem0", "rb", buffering=0) as disk:
        disk.seek(4096)
        assert disk.read(512)[:24].startswith(b"from user space " + how.encode())


# --- the contract of backends ------------------------------------------------------------------


@case(guest="sysfs", timeout_s=180, params=tuple(SYSFS.groups("edu")))
def case_contract_of_edu(group: str) -> None:
    subject = SYSFS.subject("edu", uri_of(find_function(EDU)))
    keeps(subject, SYSFS.groups("edu")[group], column=SYSFS.name)


@case(guest="sysfs", timeout_s=180, params=tuple(SYSFS.groups("nvme")))
def case_contract_of_nvme(group: str) -> None:
    with free_nvme() as function:
        subject = SYSFS.subject("nvme", uri_of(function))
        keeps(subject, SYSFS.groups("nvme")[group], column=SYSFS.name)
