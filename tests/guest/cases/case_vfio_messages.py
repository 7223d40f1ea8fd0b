"""Each situation that a user may be in, and the message: they make up a page of the docs.

A case tells one message, as its last act: where the page differs it ends there.
"""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pymmio.backend import vfio
from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.opening import Interface, open_function
from pymmio.errors import PymmioError
from pymmio.handle import Iova
from pymmio.pci.address import PciAddress
from pymmio.uri import DeviceUri
from tests.guest.case import case
from tests.guest.cases.vfio_common import (
    RemovingKernel,
    bound_without_iommu,
    given_to,
    hidden,
    holding,
    in_child,
    nodes_of,
    shared_page,
    virtual_functions,
)
from tests.guest.inside import (
    EDU,
    NVME,
    bind_vfio,
    bound_to_vfio,
    find_function,
    find_functions,
    give_back,
)
from tests.guest.interfaces import by_interface, interface, uri_of
from tests.guest.messages import WORKS, let_users_tell, said, tell

SITUATIONS = [
    "No such function",
    "A kernel driver has it",
    "No driver has it",
    "This user may not open its node",
    "Another process has it by its group",
    "Another process has it by its cdev",
    "This program has it already",
    "A kernel driver has another function of its IOMMU group",
    "Another process has another function of its IOMMU group",
    "Its node is not in /dev",
    "/dev/iommu is not in /dev",
    "It is removed while it is opened",
    "Interrupts are not remapped (virtio-iommu)",
    "This machine has no IOMMU",
    "VFIO offers it without an IOMMU",
    "interface=noiommu, and it has an IOMMU",
    "interface=noiommu, and VFIO was not told",
    "interface=noiommu, and a user without root",
    "A virtual function without its token",
    "A virtual function with another token",
    "A token for a device that takes none",
    "share_dma_with= a device by another interface",
    "The memlock limit is reached",
    "Memory for an address that is reserved",
    "A region is still mapped when it is closed",
]
USER = 65534
DEFAULT = ("default",)
UNSAFE = (
    Path("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"),
    Path("/sys/module/iommufd/parameters/allow_unsafe_interrupts"),
)
MSI_WINDOW = 0xFEE0_0000


def _open(address: str, **options: str) -> VfioDevice:
    return vfio.open(DeviceUri.parse(uri_of(address, **options)))


def _refused(situation: str, call: Callable[[], object], column: str | None = None) -> None:
    """Tell what ``call`` raises, or that it works."""
    try:
        got = call()
    except PymmioError as error:
        tell(situation, column or interface(), said(error))
        return
    if isinstance(got, VfioDevice):
        got.close()
    tell(situation, column or interface(), WORKS)


@by_interface(guests=DEFAULT)
def case_no_such_function() -> None:
    _refused("No such function", lambda: _open("0000:7f:1f.7"))


@by_interface(guests=DEFAULT)
def case_kernel_driver() -> None:
    nvme = find_function(NVME)
    assert nvme.driver == "nvme"
    _refused("A kernel driver has it", lambda: _open(nvme.address))


@by_interface(guests=DEFAULT)
def case_no_driver() -> None:
    edu = find_function(EDU)
    assert edu.driver is None
    _refused("No driver has it", lambda: _open(edu.address))


@contextmanager
def _opened(address: str, **options: str) -> Iterator[VfioDevice]:
    """Open a device for the block, which raises where the page does not have the message."""
    handle = _open(address, **options)
    try:
        yield handle
    finally:
        handle.close()


@by_interface(guests=DEFAULT)
def case_no_permission() -> None:
    def as_user(address: str) -> None:
        os.setgid(USER)
        os.setuid(USER)
        _refused("This user may not open its node", lambda: _open(address))

    let_users_tell()
    common = ["/dev/iommu"] if interface() == "cdev" else []
    with bound_to_vfio(EDU) as edu, given_to(USER, *common):
        in_child(lambda: as_user(edu.address))


@by_interface(guests=DEFAULT)
@case(params=("group", "cdev"))
def case_another_process(theirs: str) -> None:
    with bound_to_vfio(EDU) as edu:
        with holding(lambda: _open(edu.address, interface=theirs)):
            _refused(f"Another process has it by its {theirs}", lambda: _open(edu.address))


@by_interface(guests=DEFAULT)
def case_this_program() -> None:
    with bound_to_vfio(EDU) as edu:
        with _opened(edu.address):
            _refused("This program has it already", lambda: _open(edu.address))


@by_interface(guests=("groups",))
def case_kernel_driver_in_the_group() -> None:
    nvme = find_function(NVME)
    give_back(nvme)
    assert nvme.driver == "nvme"
    with bound_to_vfio(EDU) as edu:
        _refused(
            "A kernel driver has another function of its IOMMU group", lambda: _open(edu.address)
        )


@by_interface(guests=("groups",))
def case_another_process_in_the_group() -> None:
    with bound_to_vfio(NVME) as nvme, bound_to_vfio(EDU) as edu:
        with holding(lambda: _open(nvme.address)):
            _refused(
                "Another process has another function of its IOMMU group",
                lambda: _open(edu.address),
            )


@by_interface(guests=DEFAULT)
def case_no_node() -> None:
    with bound_to_vfio(EDU) as edu, hidden(nodes_of(edu)[0]):
        _refused("Its node is not in /dev", lambda: _open(edu.address))


@by_interface(guests=DEFAULT)
def case_no_iommufd() -> None:
    with bound_to_vfio(EDU) as edu, hidden("/dev/iommu"):
        _refused("/dev/iommu is not in /dev", lambda: _open(edu.address))


@by_interface(guests=DEFAULT)
def case_removed() -> None:
    edu = find_function(EDU)
    bind_vfio(edu)
    try:
        address, how = PciAddress.parse(edu.address), Interface(interface())
        _refused(
            "It is removed while it is opened",
            lambda: open_function(RemovingKernel(edu), address, how),
        )
    finally:
        Path("/sys/bus/pci/rescan").write_text("1")
        give_back(find_function(EDU))


@by_interface(guests=("virtio-iommu",))
def case_unsafe_interrupts() -> None:
    with bound_to_vfio(EDU) as edu:
        for unsafe in UNSAFE:
            unsafe.write_text("0")
        try:
            _refused("Interrupts are not remapped (virtio-iommu)", lambda: _open(edu.address))
        finally:
            for unsafe in UNSAFE:
                unsafe.write_text("1")


@by_interface(guests=("no-iommu",))
def case_no_iommu() -> None:
    edu = find_function(EDU)
    _refused("This machine has no IOMMU", lambda: _open(edu.address))


@by_interface(guests=("no-iommu",))
def case_offered_without_an_iommu() -> None:
    edu = find_function(EDU)
    with bound_without_iommu(edu):
        _refused("VFIO offers it without an IOMMU", lambda: _open(edu.address))


@by_interface("noiommu", guests=("no-iommu",))
def case_noiommu_that_vfio_was_not_told_of() -> None:
    edu = find_function(EDU)
    _refused("interface=noiommu, and VFIO was not told", lambda: _open(edu.address), "both")


@by_interface("noiommu", guests=("no-iommu",))
def case_noiommu_by_a_user() -> None:
    def as_user(address: str) -> None:
        os.setgid(USER)
        os.setuid(USER)
        situation = "interface=noiommu, and a user without root"
        _refused(situation, lambda: _open(address), "both")

    edu = find_function(EDU)
    let_users_tell()
    with bound_without_iommu(edu):
        (node,) = Path("/dev/vfio").glob("noiommu-*")
        with given_to(USER, str(node)):
            in_child(lambda: as_user(edu.address))


@by_interface("noiommu", guests=DEFAULT)
def case_noiommu_with_an_iommu() -> None:
    with bound_to_vfio(EDU) as edu:
        situation = "interface=noiommu, and it has an IOMMU"
        _refused(situation, lambda: _open(edu.address), "both")


@by_interface(guests=("shared",))
@case(params=("without its token", "with another token"))
def case_virtual_functions(which: str) -> None:
    options = {"vf_token": "fedcba98-7654-3210-fedc-ba9876543210"} if "with a" in which else {}
    with virtual_functions("01234567-89ab-cdef-0123-456789abcdef") as (_, (virtual, _)):
        _refused(f"A virtual function {which}", lambda: _open(virtual.address, **options))


@by_interface(guests=("shared",))
def case_a_token_too_many() -> None:
    edu = find_functions(EDU)[0]
    bind_vfio(edu)
    try:
        token = "01234567-89ab-cdef-0123-456789abcdef"
        _refused("A token for a device that takes none", lambda: _open(edu.address, vf_token=token))
    finally:
        give_back(edu)


@by_interface(guests=DEFAULT)
def case_another_interface() -> None:
    other = {"group": "cdev", "cdev": "group"}[interface()]
    with bound_to_vfio(EDU) as edu, bound_to_vfio(NVME) as nvme:
        uri = DeviceUri.parse(uri_of(edu.address))
        with _opened(nvme.address, interface=other) as peer:
            _refused(
                "share_dma_with= a device by another interface",
                lambda: vfio.open(uri, share_dma_with=peer),
            )


@by_interface(guests=DEFAULT)
def case_memlock() -> None:
    def as_user(address: str) -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
        os.setgid(USER)
        os.setuid(USER)
        with _opened(address) as handle:
            _refused("The memlock limit is reached", lambda: _map(handle, 0x10_0000, 2 << 20))

    let_users_tell()
    with bound_to_vfio(EDU) as edu, given_to(USER, *nodes_of(edu)):
        in_child(lambda: as_user(edu.address))


@by_interface(guests=DEFAULT)
def case_reserved() -> None:
    with bound_to_vfio(EDU) as edu:
        with _opened(edu.address) as edu_handle:
            _refused(
                "Memory for an address that is reserved",
                lambda: _map(edu_handle, MSI_WINDOW, 4096),
            )


@by_interface(guests=DEFAULT)
def case_still_mapped() -> None:
    with bound_to_vfio(EDU) as edu:
        handle = _open(edu.address)
        source = handle.open_region(0).mmap_source()
        assert source is not None
        with mmap.mmap(source[0], 4096, offset=source[1]):
            _refused("A region is still mapped when it is closed", handle.close)


def _map(handle: VfioDevice, iova: int, size: int) -> None:
    handle.dma.map(Iova(iova), size, address=shared_page(size), fd=-1, fd_offset=0)
