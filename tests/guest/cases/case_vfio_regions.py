"""Regions through real vfio-pci: what is there, and that all ways to read them agree."""

from __future__ import annotations

import os

import pymmio
from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.qword import is_one_access
from pymmio.errors import AccessError, AccessFault, Misaligned, WidthRefused
from pymmio.handle import MappedArea
from tests.guest.cases.vfio_common import IO_SPACE, bound_handle, refuses, set_command
from tests.guest.inside import EDU, NVME, PCI_TESTDEV, bound_to_vfio
from tests.guest.interfaces import by_interface, uri_of

EDU_ID = 0x010000ED  # QEMU docs/specs/edu.rst: identification at 0x00
NVME_VS = 0x08  # NVMe Base 2.0 §3.1.3.2: version


@by_interface()
def case_edu_has_one_bar_of_1_mib_and_configuration_space() -> None:
    with bound_handle(EDU) as edu:
        infos = {info.index: info for info in edu.region_infos()}
        assert (infos[0].name, infos[0].size) == ("BAR0", 1 << 20)
        assert infos[0].mappable == (MappedArea(0, 1 << 20),)
        assert infos[0].readable
        assert infos[0].writable
        assert infos[7].size == 256  # a conventional PCI function
        assert infos[7].mappable == ()
        assert not {1, 2, 3, 4, 5} & set(infos)


@by_interface()
def case_nvme_has_bar0_with_its_msix_table_in_it() -> None:
    with bound_handle(NVME) as nvme:
        infos = {info.index: info for info in nvme.region_infos()}
        assert infos[0].size >= 0x4000
        assert infos[0].mappable == (MappedArea(0, infos[0].size),)
        assert infos[7].size == 4096  # PCI Express
        record = nvme.region_records()[0]
        assert record.msix_is_mappable
        assert not record.has_sparse_areas


@by_interface()
def case_pci_testdev_has_a_memory_and_an_io_port_bar() -> None:
    with bound_handle(PCI_TESTDEV) as testdev:
        records = {record.info.index: record for record in testdev.region_records()}
        assert records[0].info.size == 4096
        assert not records[0].is_io_port
        assert (records[1].info.size, records[1].is_io_port) == (256, True)
        assert records[1].info.mappable == ()


@by_interface()
def case_io_ports_are_read_and_written_in_one_access_each() -> None:
    with bound_handle(PCI_TESTDEV) as testdev:
        ports = testdev.open_region(1)
        set_command(testdev, off=IO_SPACE)
        with refuses(AccessFault, "I/O decoding is off"):
            ports.read(4, 4)
        set_command(testdev, on=IO_SPACE)
        ports.write(0, 1, 0)  # QEMU docs/specs/pci-testdev.rst: choose test 0
        offset, width = ports.read(4, 4), ports.read(1, 1)
        assert width in (1, 2, 4)
        before = ports.read(12, 4)  # how often the test's own port was written rightly
        ports.write(offset, width, ports.read(8, 4) & (1 << 8 * width) - 1)
        assert ports.read(12, 4) == before + 1
        with refuses(WidthRefused, "at most 4 bytes"):
            ports.read(0, 8)


@by_interface()
def case_mapped_and_pread_reads_agree() -> None:
    with bound_to_vfio(EDU) as function:
        values = []
        for access in ("mapped", "pread"):
            with pymmio.open_device(uri_of(function.address), access=access) as edu:
                bar = edu.region(0)
                bar.write32(0x04, 0x1234_5678)
                values.append((bar.read32(0x00), bar.read32(0x04)))
        assert values == [(EDU_ID, ~0x1234_5678 & 0xFFFF_FFFF)] * 2


@by_interface()
def case_mapped_and_pread_reads_of_nvme_registers_agree() -> None:
    with bound_to_vfio(NVME) as function:
        values = []
        for access in ("mapped", "pread"):
            with pymmio.open_device(uri_of(function.address), access=access) as nvme:
                bar = nvme.region(0)
                values.append([bar.read32(offset) for offset in (0x00, 0x04, NVME_VS, 0x14, 0x1C)])
        assert values[0] == values[1]
        assert values[0][2] >> 16 == 1  # major version


@by_interface()
def case_eight_bytes_are_one_access_exactly_where_we_believe_it() -> None:
    # edu answers all-ones below 0x80 unless the access has 4 bytes (QEMU hw/misc/edu.c), so
    # one access of 8 bytes is seen to be one.
    uname = os.uname()
    believed = is_one_access(uname.release, uname.machine)
    with bound_handle(EDU) as edu:
        region = edu.open_region(0)
        raw = os.pread(region.device.fd, 8, region.record.file_offset)
        assert (raw == b"\xff" * 8) is believed, (uname.release, raw)
        if not believed:
            assert raw[:4] == EDU_ID.to_bytes(4, "little")  # split without a word
        if believed:
            assert region.read(0, 8) == (1 << 64) - 1
        else:
            with refuses(WidthRefused, uname.release):
                region.read(0, 8)


@by_interface()
def case_misaligned_pread_is_refused() -> None:
    with bound_handle(EDU) as edu:
        region = edu.open_region(0)
        with refuses(Misaligned, "split"):
            region.read(2, 4)


@by_interface()
def case_the_msix_table_is_refused_by_pread_and_true_when_mapped() -> None:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(uri_of(function.address), access="pread") as nvme:
            assert isinstance(nvme.handle, VfioDevice)
            region = nvme.handle.open_region(0)
            table = region.msix_table
            assert table is not None
            raw = os.pread(region.device.fd, 4, region.record.file_offset + table.offset)
            assert raw == b"\xff" * 4  # what VFIO would answer
            with refuses(AccessError, "MSI-X table"):
                nvme.region(0).read32(table.offset)
        with pymmio.open_device(uri_of(function.address), access="mapped") as nvme:
            control = nvme.region(0).read32(table.offset + 12)
            assert control & 1  # PCI Local Bus 3.0 §6.8.2.9: masked after reset
