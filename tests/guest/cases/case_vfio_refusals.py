"""What a user reads when a device cannot be had, and that nothing was touched then."""

from __future__ import annotations

import os

from pymmio.backend import vfio
from pymmio.errors import (
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
    UriError,
)
from pymmio.uri import DeviceUri
from tests.guest.cases.vfio_common import holding, in_child, open_descriptors, open_handle
from tests.guest.inside import EDU, NVME, bound_to_vfio, find_function, give_back

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


def case_a_group_of_another_process_names_it() -> None:
    with bound_to_vfio(EDU) as function:
        uri = f"vfio:{function.address}"
        with holding(lambda: vfio.open(DeviceUri.parse(uri))) as pid:
            said = _refused(uri, DeviceBusy)
            assert f"already open by process {pid} (" in said
        with open_handle(function.address):
            pass


def case_opening_twice_in_one_process() -> None:
    with bound_to_vfio(EDU) as function, open_handle(function.address):
        said = _refused(f"vfio:{function.address}", DeviceBusy)
        assert f"already open by process {os.getpid()} (" in said


def case_a_user_without_permission() -> None:
    def as_user(uri: str) -> None:
        os.setgid(USER)
        os.setuid(USER)
        said = _refused(uri, PermissionRefused)
        assert f"chown {USER} /dev/vfio/" in said
        assert "owner 0, group 0, mode 0600" in said

    with bound_to_vfio(EDU) as function:
        in_child(lambda: as_user(f"vfio:{function.address}"))


def case_cdev_comes_later() -> None:
    with bound_to_vfio(EDU) as function:
        uri = f"vfio:{function.address}?interface=cdev"
        assert "interface=group" in _refused(uri, Unsupported)


def case_wrong_uris() -> None:
    for uri in ("vfio:edu", "vfio:0000:00:03.0?interface=x", "vfio:0000:00:03.0?token=1"):
        assert _refused(uri, UriError)
