"""Groups of several members, a reset by the bus, and machines with another IOMMU or none."""

from __future__ import annotations

import os
from pathlib import Path

from pymmio.backend import vfio
from pymmio.backend.vfio.device import VfioDevice
from pymmio.errors import DeviceBusy, PermissionRefused, Unsupported
from pymmio.handle import Iova, MappedArea
from pymmio.uri import DeviceUri
from tests.guest.case import case
from tests.guest.cases.vfio_common import (
    MEMORY_SPACE,
    bound_handle,
    open_descriptors,
    open_handle,
    refuses,
    set_command,
    shared_page,
)
from tests.guest.inside import EDU, NVME, PCI_TESTDEV, bound_to_vfio, find_function, give_back
from tests.guest.interfaces import by_interface, interface, uri_of

EDU_ID = 0x010000ED  # QEMU docs/specs/edu.rst
UNSAFE = {
    "group": Path("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"),
    "cdev": Path("/sys/module/iommufd/parameters/allow_unsafe_interrupts"),
}


def _open(address: str) -> VfioDevice:
    return vfio.open(DeviceUri.parse(uri_of(address)))


@by_interface(guests=("groups",))
def case_a_group_with_a_kernel_driver_in_it_is_not_viable_and_names_it() -> None:
    nvme = find_function(NVME)
    give_back(nvme)
    assert nvme.driver == "nvme"
    with bound_to_vfio(EDU) as edu:
        assert edu.group_members() == [edu.address, nvme.address]
        with refuses(DeviceBusy, "is not viable", f"in the way: {nvme.address} (nvme)."):
            _open(edu.address)
    assert nvme.driver == "nvme"


@by_interface(guests=("groups",))
def case_a_group_whose_members_are_all_free_is_used_by_one_at_a_time() -> None:
    with bound_to_vfio(EDU) as edu, bound_to_vfio(NVME) as nvme:
        with open_handle(edu.address) as handle:
            assert handle.open_region(0).read(0, 4) == EDU_ID
            with refuses(DeviceBusy, f"process {os.getpid()} ("):
                _open(nvme.address)
        with open_handle(nvme.address):
            pass


@by_interface(guests=("groups",))
def case_members_of_a_group_work_side_by_side_in_one_address_space() -> None:
    with bound_to_vfio(EDU) as edu, bound_to_vfio(NVME) as nvme:
        address, before = shared_page(), open_descriptors()
        with open_handle(edu.address) as first:
            uri = DeviceUri.parse(uri_of(nvme.address))
            second = vfio.open(uri, share_dma_with=first)
            assert second.dma is first.dma
            set_command(second, on=MEMORY_SPACE)
            first.close()
            assert second.open_region(0).read(8, 4) >> 16 == 1  # NVMe VS, major version
            second.dma.map(Iova(0x10000), 0x1000, address=address, fd=-1, fd_offset=0)
            second.dma.unmap(Iova(0x10000), 0x1000)
            second.close()
        assert open_descriptors() == before


@by_interface(guests=("groups",))
def case_a_device_behind_a_root_port_is_reset_with_its_bus() -> None:
    with bound_handle(PCI_TESTDEV) as testdev:
        testdev.reset()
        set_command(testdev, on=MEMORY_SPACE)
        assert testdev.open_region(0).read(0, 1) in range(256)


@by_interface(guests=("groups",))
def case_a_memory_bar_beside_the_registers_is_offered_too() -> None:
    with bound_handle(PCI_TESTDEV) as testdev:
        sizes = {info.index: (info.size, info.mappable) for info in testdev.region_infos()}
        assert sizes[2] == (0x1_0000, (MappedArea(0, 0x1_0000),))


@by_interface(guests=("virtio-iommu",))
def case_unsafe_interrupts_are_explained_and_work_once_allowed() -> None:
    unsafe = UNSAFE[interface()]
    with bound_to_vfio(EDU) as edu:
        unsafe.write_text("0")
        try:
            with refuses(PermissionRefused, "interrupts are not remapped", f"echo 1 > {unsafe}"):
                _open(edu.address)
            handle = vfio.open(DeviceUri.parse(f"vfio:{edu.address}"))
            assert {handle.interface, interface()} == {"group", "cdev"}  # auto finds the other
            handle.close()
        finally:
            unsafe.write_text("1")
        with open_handle(edu.address) as handle:
            assert handle.open_region(0).read(0, 4) == EDU_ID
            first = handle.dma.iova_ranges[0].first + 0x10_0000
            address = shared_page()
            handle.dma.map(Iova(first), 0x1000, address=address, fd=-1, fd_offset=0)
            handle.dma.unmap(Iova(first), 0x1000)


@case(guest="virtio-iommu")
def case_unsafe_interrupts_that_neither_allows_name_both() -> None:
    with bound_to_vfio(EDU) as edu:
        for unsafe in UNSAFE.values():
            unsafe.write_text("0")
        try:
            with refuses(PermissionRefused, str(UNSAFE["cdev"]), "and by interface=group"):
                vfio.open(DeviceUri.parse(f"vfio:{edu.address}"))
        finally:
            for unsafe in UNSAFE.values():
                unsafe.write_text("1")


@case(guest="no-iommu")
def case_without_an_iommu_the_refusal_speaks_of_it() -> None:
    edu = find_function(EDU)
    with refuses(Unsupported, "this kernel uses no IOMMU", "intel_iommu=on"):
        _open(edu.address)
