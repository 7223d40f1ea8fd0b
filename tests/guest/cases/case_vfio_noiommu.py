"""Without an IOMMU: only when asked for by name, and then with real DMA."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pymmio
from pymmio.backend import vfio
from pymmio.backend.vfio.noiommu import NoIommuWarning
from pymmio.errors import BudgetExceeded, DmaError, PermissionRefused, Unsupported
from pymmio.handle import Iova
from pymmio.uri import DeviceUri
from pymmio_drivers.nvme import Controller
from tests.contract.asking import keeps
from tests.contract.backends import NO_IOMMU
from tests.guest.case import case
from tests.guest.cases.vfio_common import (
    NOIOMMU_MODE,
    bound_without_iommu,
    in_child,
    noiommu_uri,
    refuses,
    shared_page,
)
from tests.guest.inside import EDU, NVME, find_function, find_functions, give_back

GUEST = "no-iommu"
GROUPS = NO_IOMMU.groups("edu")
TAINTED = Path("/proc/sys/kernel/tainted")
TAINT_USER = 1 << 6  # Linux Documentation/admin-guide/tainted-kernels.rst
USER = 65534


@case(guest=GUEST)
def case_auto_refuses_and_says_how_to_ask() -> None:
    edu = find_function(EDU)
    with bound_without_iommu(edu):
        with refuses(Unsupported, "without an IOMMU only", f"{noiommu_uri(edu)}"):
            vfio.open(DeviceUri.parse(f"vfio:{edu.address}"))
        with refuses(Unsupported, "without an IOMMU only"):
            vfio.open(DeviceUri.parse(f"vfio:{edu.address}?interface=cdev"))


@case(guest=GUEST)
def case_a_device_that_was_bound_otherwise_says_what_to_do() -> None:
    edu = find_function(EDU)
    give_back(edu)
    with refuses(Unsupported, "was not told to do without", f"echo 1 > {NOIOMMU_MODE}"):
        vfio.open(DeviceUri.parse(noiommu_uri(edu)))


@case(guest=GUEST)
def case_the_price_is_told() -> None:
    edu = find_function(EDU)
    with bound_without_iommu(edu) as uri, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        handle = vfio.open(DeviceUri.parse(uri))
        handle.close()
        assert handle.interface == "noiommu"
        assert [w.category for w in told] == [NoIommuWarning]
        assert "reaches all memory" in str(told[0].message)
        assert int(TAINTED.read_text()) & TAINT_USER


@case(guest=GUEST, timeout_s=120, params=tuple(GROUPS))
def case_contract(group: str) -> None:
    with bound_without_iommu(find_function(EDU)) as uri:
        keeps(NO_IOMMU.subject("edu", uri), GROUPS[group], column=NO_IOMMU.name)


@case(guest=GUEST)
def case_an_nvme_controller_is_driven() -> None:
    with (
        bound_without_iommu(find_function(NVME), pool=64) as uri,
        Controller.open(uri) as controller,
    ):
        assert controller.identity.sn == "pymmio-0"
        namespace = controller.namespaces[1]
        namespace.write_bytes(b"\x5a" * 8192, lba=16)
        assert namespace.read_bytes(lba=16, blocks=16) == b"\x5a" * 8192


@case(guest=GUEST)
def case_two_devices_see_the_same_addresses() -> None:
    with (
        bound_without_iommu(find_function(EDU)) as uri,
        bound_without_iommu(find_function(NVME)) as other,
    ):
        with pymmio.open_device(uri) as edu:
            with pymmio.open_device(other, share_dma_with=edu) as nvme:
                assert nvme.dma is edu.dma


@case(guest=GUEST)
def case_addresses_are_physical_and_memory_is_one_huge_page() -> None:
    with bound_without_iommu(find_function(EDU)) as uri, pymmio.open_device(uri) as edu:
        with edu.dma.alloc(100) as buf:
            assert buf.iova % (2 << 20) == 0
            assert edu.dma.mapped_bytes == 2 << 20
            with open("/dev/mem", "rb") as memory:
                with memoryview(buf) as view:
                    view[:8] = b"physical"
                memory.seek(buf.iova)
                assert memory.read(8) == b"physical"


@case(guest=GUEST)
def case_small_pages_and_wrong_addresses_are_refused() -> None:
    with bound_without_iommu(find_function(EDU)) as uri:
        handle = vfio.open(DeviceUri.parse(uri))
        try:
            with refuses(DmaError, "cannot be mapped at 0x10000"):
                handle.dma.map(Iova(0x10000), 0x1000, address=_touched(), fd=-1, fd_offset=0)
            with refuses(DmaError, "not all in memory"):
                handle.dma.map(Iova(0x10000), 0x1000, address=shared_page(), fd=-1, fd_offset=0)
        finally:
            handle.close()


def _touched() -> int:
    import ctypes

    address = shared_page()
    ctypes.memset(address, 1, 1)
    return address


@case(guest=GUEST)
def case_an_empty_pool_says_how_to_fill_it() -> None:
    with bound_without_iommu(find_function(EDU), pool=0) as uri, pymmio.open_device(uri) as edu:
        with refuses(BudgetExceeded, "0 are free", "sysctl vm.nr_hugepages"):
            edu.dma.alloc(4096)


@case(guest=GUEST)
def case_a_user_without_root_is_told_what_it_takes() -> None:
    def as_user(uri: str) -> None:
        os.setgid(USER)
        os.setuid(USER)
        with refuses(PermissionRefused, "CAP_SYS_RAWIO"):
            vfio.open(DeviceUri.parse(uri))

    with bound_without_iommu(find_function(EDU)) as uri:
        (node,) = Path("/dev/vfio").glob("noiommu-*")
        os.chown(node, USER, USER)
        in_child(lambda: as_user(uri))
        assert len(find_functions(EDU)) == 1
