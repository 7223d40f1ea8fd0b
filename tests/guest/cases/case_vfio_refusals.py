"""What a user reads when a device cannot be had, and that nothing was touched then."""

from __future__ import annotations

import os
from pathlib import Path

from pymmio.backend import vfio
from pymmio.backend.vfio.opening import Interface, open_function
from pymmio.errors import (
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
    UriError,
)
from pymmio.pci.address import PciAddress
from pymmio.uri import DeviceUri
from tests.guest.case import case
from tests.guest.cases.vfio_common import (
    RemovingKernel,
    given_to,
    hidden,
    holding,
    in_child,
    open_descriptors,
    open_handle,
    refuses,
)
from tests.guest.inside import EDU, NVME, bind_vfio, bound_to_vfio, find_function, give_back
from tests.guest.interfaces import by_interface, interface, uri_of

USER = 65534


def _refused(uri: str, expected: type[PymmioError]) -> str:
    before = open_descriptors()
    try:
        vfio.open(DeviceUri.parse(uri))
    except expected as error:
        assert open_descriptors() == before
        return str(error)
    raise AssertionError(f"{uri} was opened")


def case_a_device_that_does_not_exist() -> None:
    assert "0000:7f:1f.7" in _refused("vfio:0000:7f:1f.7", DeviceNotFound)


def case_a_device_of_a_kernel_driver_is_left_to_it() -> None:
    function = find_function(NVME)
    give_back(function)
    assert function.driver == "nvme"
    said = _refused(f"vfio:{function.address}", DeviceBusy)
    assert "kernel driver nvme" in said
    assert f"echo vfio-pci > /sys/bus/pci/devices/{function.address}/driver_override" in said
    assert function.driver == "nvme"


def case_the_commands_of_the_refusal_bind_the_device() -> None:
    function = find_function(NVME)
    give_back(function)
    said = _refused(f"vfio:{function.address}", DeviceBusy)
    for command in said.partition("uses it: ")[2].split("; "):
        assert os.system(command) == 0, command
    try:
        with open_handle(function.address):
            pass
    finally:
        give_back(function)


def case_a_device_of_no_driver() -> None:
    function = find_function(EDU)
    give_back(function)
    assert "bound to no driver" in _refused(f"vfio:{function.address}", Unsupported)


def case_a_device_without_an_iommu_group() -> None:
    for name in sorted(os.listdir("/sys/bus/pci/devices")):
        if not os.path.exists(f"/sys/bus/pci/devices/{name}/iommu_group"):
            assert "in no IOMMU group" in _refused(f"vfio:{name}", Unsupported)


@case(params=("group-group", "group-cdev", "cdev-group", "cdev-cdev", "cdev-auto", "group-auto"))
def case_a_device_of_another_process_names_it(how: str) -> None:
    theirs, ours = how.split("-")
    with bound_to_vfio(EDU) as function:
        uri = f"vfio:{function.address}?interface="
        with holding(lambda: vfio.open(DeviceUri.parse(uri + theirs))) as pid:
            said = _refused(uri + ours, DeviceBusy)
            assert f"process {pid} (" in said, said
        for how in ("group", "cdev"):
            vfio.open(DeviceUri.parse(uri + how)).close()


@by_interface(guests=("default",))
def case_opening_twice_in_one_process() -> None:
    with bound_to_vfio(EDU) as function, open_handle(function.address):
        for how in ("group", "cdev"):
            said = _refused(f"vfio:{function.address}?interface={how}", DeviceBusy)
            assert f"process {os.getpid()} (" in said


@by_interface("group", "cdev", "auto", guests=("default",))
def case_a_user_without_permission() -> None:
    def as_user(address: str) -> None:
        os.setgid(USER)
        os.setuid(USER)
        said = _refused(uri_of(address), PermissionRefused)
        assert "owner 0, group 0, mode 06" in said
        if interface() == "group":
            assert f"chown {USER} /dev/vfio/" in said
        else:
            assert "chmod 666 /dev/iommu" in said
        if interface() == "auto":
            assert "(and by interface=group: /dev/vfio/" in said

    with bound_to_vfio(EDU) as function:
        in_child(lambda: as_user(function.address))


def case_a_user_who_may_use_iommufd_but_not_the_device() -> None:
    def as_user(address: str) -> None:
        os.setgid(USER)
        os.setuid(USER)
        said = _refused(f"vfio:{address}?interface=cdev", PermissionRefused)
        assert f"chown {USER} /dev/vfio/devices/vfio" in said
        assert 'SUBSYSTEM=="vfio-dev"' in said

    with bound_to_vfio(EDU) as function, given_to(USER, "/dev/iommu"):
        in_child(lambda: as_user(function.address))


def case_a_user_who_has_the_group_only_gets_it_by_auto() -> None:
    def as_user(address: str) -> None:
        os.setgid(USER)
        os.setuid(USER)
        handle = vfio.open(DeviceUri.parse(f"vfio:{address}"))
        assert handle.interface == "group"
        assert isinstance(handle.passed_over, PermissionRefused)
        handle.close()

    with bound_to_vfio(EDU) as function:
        with given_to(USER, f"/dev/vfio/{function.iommu_group}"):
            in_child(lambda: as_user(function.address))


def case_auto_is_cdev_where_there_is_one() -> None:
    with bound_to_vfio(EDU) as function:
        handle = vfio.open(DeviceUri.parse(f"vfio:{function.address}"))
        assert (handle.interface, handle.passed_over) == ("cdev", None)
        handle.close()


def case_without_dev_iommu_auto_is_group_and_cdev_says_what_is_missing() -> None:
    with bound_to_vfio(EDU) as function, hidden("/dev/iommu"):
        said = _refused(f"vfio:{function.address}?interface=cdev", Unsupported)
        assert "there is no /dev/iommu" in said
        assert "interface=group" in said
        handle = vfio.open(DeviceUri.parse(f"vfio:{function.address}"))
        assert handle.interface == "group"
        assert "there is no /dev/iommu" in str(handle.passed_over)
        handle.close()


def case_without_any_node_the_message_names_both() -> None:
    with bound_to_vfio(EDU) as function, hidden("/dev/iommu"):
        with hidden(f"/dev/vfio/{function.iommu_group}"):
            said = _refused(f"vfio:{function.address}", DeviceNotFound)
            assert f"there is no /dev/vfio/{function.iommu_group}" in said
            assert "(and by interface=cdev: there is no /dev/iommu" in said


@by_interface("group", "cdev", "auto", guests=("default",))
def case_a_device_that_is_removed_while_it_is_opened() -> None:
    function = find_function(EDU)
    bind_vfio(function)
    try:
        kernel = RemovingKernel(function)
        before = open_descriptors()
        with refuses(DeviceNotFound, function.address, "It was removed"):
            open_function(kernel, PciAddress.parse(function.address), Interface(interface()))
        assert not function.path.exists()
        assert open_descriptors() == before
    finally:
        Path("/sys/bus/pci/rescan").write_text("1")
        give_back(find_function(EDU))


def case_no_iommu_is_refused_where_there_is_one() -> None:
    with bound_to_vfio(EDU) as function:
        said = _refused(f"vfio:{function.address}?interface=noiommu", Unsupported)
        assert f"has an IOMMU (group {function.iommu_group})" in said


def case_wrong_uris() -> None:
    for uri in (
        "vfio:edu",
        "vfio:0000:00:03.0?interface=x",
        "vfio:0000:00:03.0?token=1",
        "vfio:0000:00:03.0?vf_token=1",
    ):
        assert _refused(uri, UriError)
