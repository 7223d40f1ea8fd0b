from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from pymmio.errors import DeviceBusy, DeviceGone, DeviceNotFound, PermissionRefused, Unsupported
from tests.unit.backend.vfio.fake_kernel import (
    ADDRESS,
    CONTAINER_PATH,
    DEVICE_PATH,
    GROUP,
    GROUP_PATH,
    FakeKernel,
)
from tests.unit.backend.vfio.helpers import open_fake

UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def refused(kernel: FakeKernel, expected: type[Exception]) -> str:
    with pytest.raises(expected) as caught:
        open_fake(kernel)
    assert kernel.open_fds == {}
    return str(caught.value)


def test_the_order_of_opening_and_closing(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    assert device.interface == "group"
    assert kernel.log[:7] == [
        f"open {GROUP_PATH}",
        f"open {CONTAINER_PATH}",
        "GET_API_VERSION",
        "CHECK_EXTENSION",
        "GROUP_GET_STATUS",
        "GROUP_SET_CONTAINER",
        "SET_IOMMU",
    ]
    assert kernel.extension_asked == kernel.iommu_set == [3]  # type1v2
    kernel.log.clear()
    device.close()
    assert kernel.log == [
        f"close {ADDRESS}",
        "GROUP_UNSET_CONTAINER",
        f"close {GROUP_PATH}",
        f"close {CONTAINER_PATH}",
    ]
    assert kernel.open_fds == {}
    device.close()
    assert len(kernel.log) == 4


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_permission_of_the_group_names_owner_and_way_out(kernel: FakeKernel, number: int) -> None:
    kernel.errors[f"open {GROUP_PATH}"] = number
    said = refused(kernel, PermissionRefused)
    assert "owner 0, group 0, mode 0600" in said
    assert f"chown 0 {GROUP_PATH}" in said or f"{GROUP_PATH} (until" in said
    assert 'SUBSYSTEM=="vfio", KERNEL=="7"' in said


def test_permission_of_the_container(kernel: FakeKernel) -> None:
    kernel.errors[f"open {CONTAINER_PATH}"] = errno.EACCES
    assert f"chmod 666 {CONTAINER_PATH}" in refused(kernel, PermissionRefused)


def test_a_group_in_use_names_the_process(kernel: FakeKernel) -> None:
    kernel.errors[f"open {GROUP_PATH}"] = errno.EBUSY
    kernel.directories["/proc"] = ["1", "4321", "self", "uptime"]
    kernel.directories["/proc/4321/fd"] = ["0", "5"]
    kernel.links["/proc/4321/fd/0"] = "/dev/null"
    kernel.links["/proc/4321/fd/5"] = GROUP_PATH
    kernel.texts["/proc/4321/comm"] = "qemu"
    assert "already open by process 4321 (qemu)" in refused(kernel, DeviceBusy)


def test_a_group_in_use_by_whom_we_cannot_see(kernel: FakeKernel) -> None:
    kernel.errors[f"open {GROUP_PATH}"] = errno.EBUSY
    assert "fuser -v" in refused(kernel, DeviceBusy)


def test_no_group_node_speaks_of_containers_and_cdev(kernel: FakeKernel) -> None:
    kernel.nodes.remove(GROUP_PATH)
    said = refused(kernel, DeviceNotFound)
    assert f"--device={GROUP_PATH}" in said
    assert "CONFIG_VFIO_GROUP" in said


def test_no_iommu_mode_is_not_used_unasked(kernel: FakeKernel) -> None:
    kernel.nodes = {CONTAINER_PATH, f"/dev/vfio/noiommu-{GROUP}"}
    assert "without an IOMMU" in refused(kernel, Unsupported)


def test_a_group_node_that_vanished(kernel: FakeKernel) -> None:
    kernel.errors[f"open {GROUP_PATH}"] = errno.ENODEV
    assert "ENODEV" in refused(kernel, DeviceNotFound)


def test_another_error_of_the_group_is_named(kernel: FakeKernel) -> None:
    kernel.errors[f"open {GROUP_PATH}"] = errno.EMFILE
    assert "EMFILE" in refused(kernel, Unsupported)


def test_no_container_node(kernel: FakeKernel) -> None:
    kernel.nodes.remove(CONTAINER_PATH)
    assert "modprobe vfio" in refused(kernel, Unsupported)


def test_another_version_of_the_api(kernel: FakeKernel) -> None:
    kernel.results["GET_API_VERSION"] = 7
    assert "version 7" in refused(kernel, Unsupported)


def test_no_type1(kernel: FakeKernel) -> None:
    kernel.results["CHECK_EXTENSION"] = 0
    assert "modprobe vfio_iommu_type1" in refused(kernel, Unsupported)


def test_a_group_that_is_not_viable_names_who_blocks_it(kernel: FakeKernel) -> None:
    kernel.viable = False
    kernel.add_member("0000:00:1c.0", "pcieport")
    kernel.add_member("0000:01:00.1", "snd_hda_intel")
    said = refused(kernel, DeviceBusy)
    assert "in the way: 0000:01:00.1 (snd_hda_intel)." in said
    assert "pcieport" not in said


def test_a_group_that_is_not_viable_without_a_culprit_names_all(kernel: FakeKernel) -> None:
    kernel.viable = False
    assert f"{ADDRESS} (vfio-pci)" in refused(kernel, DeviceBusy)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EBUSY, DeviceBusy), (errno.EPERM, DeviceBusy), (errno.EINVAL, Unsupported)],
)
def test_a_group_that_cannot_be_attached(
    kernel: FakeKernel, number: int, expected: type[Exception]
) -> None:
    kernel.errors["GROUP_SET_CONTAINER"] = number
    assert errno.errorcode[number] in refused(kernel, expected)


def test_eperm_of_set_iommu_explains_unsafe_interrupts(kernel: FakeKernel) -> None:
    kernel.errors["SET_IOMMU"] = errno.EPERM
    kernel.texts[UNSAFE] = "N"
    said = refused(kernel, PermissionRefused)
    assert "interrupts are not remapped" in said
    assert f"echo 1 > {UNSAFE}" in said


def test_eperm_of_set_iommu_where_unsafe_interrupts_are_allowed(kernel: FakeKernel) -> None:
    kernel.errors["SET_IOMMU"] = errno.EPERM
    kernel.texts[UNSAFE] = "Y"
    assert "something else" in refused(kernel, PermissionRefused)


def test_another_error_of_set_iommu(kernel: FakeKernel) -> None:
    kernel.errors["SET_IOMMU"] = errno.ENODEV
    assert "type1v2" in refused(kernel, Unsupported)


@pytest.mark.parametrize(
    ("number", "expected", "said"),
    [
        (errno.EPERM, PermissionRefused, "VF token"),
        (errno.EACCES, PermissionRefused, "VF token"),
        (errno.EBUSY, DeviceBusy, "try again"),
        (errno.EAGAIN, DeviceBusy, "try again"),
        (errno.ENODEV, DeviceNotFound, "any more"),
        (errno.EIO, Unsupported, "kernel's log"),
    ],
)
def test_a_device_that_is_not_handed_out(
    kernel: FakeKernel, number: int, expected: type[Exception], said: str
) -> None:
    kernel.errors["GROUP_GET_DEVICE_FD"] = number
    assert said in refused(kernel, expected)


def test_a_device_that_is_still_mapped_is_told_at_close_and_the_rest_is_released(
    kernel: FakeKernel,
) -> None:
    device = open_fake(kernel)
    kernel.errors["GROUP_UNSET_CONTAINER"] = errno.EBUSY
    with pytest.raises(DeviceBusy, match="mapping of one of its regions"):
        device.close()
    assert kernel.open_fds == {}
    device.close()


@pytest.mark.parametrize("what", [ADDRESS, GROUP_PATH, CONTAINER_PATH])
def test_close_goes_on_when_one_close_fails(kernel: FakeKernel, what: str) -> None:
    device = open_fake(kernel)
    kernel.errors[f"close {what}"] = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        device.close()
    assert kernel.open_fds == {}


def _steps_of_opening() -> list[str]:
    kernel = FakeKernel()
    open_fake(kernel)
    return kernel.log


STEPS = _steps_of_opening()


FAILURES = [
    (step, number)
    for step, what in enumerate(STEPS)
    for number in (errno.EIO, errno.EINVAL, errno.ENODEV, errno.ENOMEM)
    # EINVAL is how the kernel says that a region does not exist
    if not (number == errno.EINVAL and what.startswith("DEVICE_GET_REGION_INFO"))
]


@pytest.mark.parametrize(("step", "number"), FAILURES)
def test_any_step_that_fails_leaves_nothing_open(step: int, number: int) -> None:
    kernel = FakeKernel()
    kernel.fail_at, kernel.fail_with = step, number
    with pytest.raises((DeviceBusy, DeviceNotFound, DeviceGone, PermissionRefused, Unsupported)):
        open_fake(kernel)
    assert kernel.open_fds == {}
    assert not kernel.container_set
    assert len(kernel.log) > step


def _unbound(kernel: FakeKernel) -> None:
    del kernel.links[f"{DEVICE_PATH}/iommu_group"]


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda k: None, "other"),
        (lambda k: k.directories.pop("/sys/kernel/iommu_groups"), "intel_iommu=on"),
    ],
)
def test_no_iommu_group(
    kernel: FakeKernel, prepare: Callable[[FakeKernel], None], said: str
) -> None:
    _unbound(kernel)
    prepare(kernel)
    message = refused(kernel, Unsupported)
    assert "is in no IOMMU group" in message
    assert said in message.lower()
    assert kernel.log == []
