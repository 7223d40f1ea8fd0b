from __future__ import annotations

import errno

import pytest

from pymmio.backend.vfio.opening import Interface
from pymmio.errors import (
    DeviceBusy,
    DeviceGone,
    DeviceNotFound,
    PermissionRefused,
    ProtocolError,
    PymmioError,
    Unsupported,
)
from tests.unit.backend.vfio.fake_iommufd import CDEV_PATH, IOMMU_PATH, SECOND_CDEV_PATH
from tests.unit.backend.vfio.fake_kernel import (
    ADDRESS,
    DEVICE_PATH,
    GROUP,
    GROUP_PATH,
    SECOND,
    FakeKernel,
)
from tests.unit.backend.vfio.helpers import open_fake, open_second

UNSAFE = "/sys/module/iommufd/parameters/allow_unsafe_interrupts"


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.offer_cdevs()
    return kernel


def refused(kernel: FakeKernel, expected: type[PymmioError]) -> str:
    with pytest.raises(expected) as caught:
        open_fake(kernel, Interface.CDEV)
    assert kernel.open_fds == {}
    assert kernel.iommufd.bound == {}
    return str(caught.value)


def test_the_order_of_opening_and_closing(kernel: FakeKernel) -> None:
    device = open_fake(kernel, Interface.CDEV)
    assert device.interface == "cdev"
    assert kernel.log[:6] == [
        f"open {IOMMU_PATH}",
        "IOAS_ALLOC",
        f"open {CDEV_PATH}",
        "DEVICE_BIND_IOMMUFD",
        "DEVICE_ATTACH_IOMMUFD_PT",
        "IOAS_IOVA_RANGES",
    ]
    kernel.log.clear()
    device.close()
    assert kernel.log == [f"close {CDEV_PATH}", "DESTROY", f"close {IOMMU_PATH}"]
    assert kernel.open_fds == {}
    device.close()
    assert len(kernel.log) == 3


def _steps_of_opening() -> list[str]:
    kernel = FakeKernel()
    kernel.offer_cdevs()
    open_fake(kernel, Interface.CDEV)
    return kernel.log


FAILURES = [
    (step, number)
    for step, what in enumerate(_steps_of_opening())
    for number in (errno.EIO, errno.EINVAL, errno.ENODEV, errno.ENOMEM, errno.EBUSY, errno.EPERM)
    # EINVAL is how the kernel says that a region does not exist
    if not (number == errno.EINVAL and what.startswith("DEVICE_GET_REGION_INFO"))
]


@pytest.mark.parametrize(("step", "number"), FAILURES)
def test_any_step_that_fails_leaves_nothing_open(
    kernel: FakeKernel, step: int, number: int
) -> None:
    kernel.fail_at, kernel.fail_with = step, number
    with pytest.raises((DeviceBusy, DeviceNotFound, DeviceGone, PermissionRefused, Unsupported)):
        open_fake(kernel, Interface.CDEV)
    assert kernel.open_fds == {}
    assert kernel.iommufd.ioas == kernel.iommufd.attached == {}
    assert len(kernel.log) > step


def test_a_device_that_is_still_mapped_is_told_at_close_and_the_rest_is_released(
    kernel: FakeKernel,
) -> None:
    device = open_fake(kernel, Interface.CDEV)
    kernel.iommufd.held = set(kernel.iommufd.bound)
    with pytest.raises(DeviceBusy, match="mapping of one of its regions"):
        device.close()
    assert kernel.open_fds == {}
    device.close()


@pytest.mark.parametrize("what", [CDEV_PATH, IOMMU_PATH])
def test_close_goes_on_when_one_close_fails(kernel: FakeKernel, what: str) -> None:
    device = open_fake(kernel, Interface.CDEV)
    kernel.errors[f"close {what}"] = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        device.close()
    assert kernel.open_fds == {}


def test_a_forked_child_makes_no_system_call(kernel: FakeKernel) -> None:
    device = open_fake(kernel, Interface.CDEV)
    descriptors = set(kernel.open_fds)
    kernel.log.clear()
    device._after_fork()
    device.close()
    assert kernel.log == []
    assert set(kernel.replaced) == descriptors


# --- what cannot be had ------------------------------------------------------------------------


def test_a_kernel_without_cdevs_says_so_and_opens_nothing() -> None:
    kernel = FakeKernel()
    said = refused(kernel, Unsupported)
    assert "(Linux 6.12.57-amd64) offers no cdevs" in said
    assert "interface=group" in said
    assert kernel.log == []


def test_an_old_kernel_without_the_folder_says_so() -> None:
    kernel = FakeKernel()
    del kernel.directories[f"{DEVICE_PATH}/vfio-dev"]
    assert "has no vfio-dev folder" in refused(kernel, Unsupported)


def test_no_iommufd_names_the_module(kernel: FakeKernel) -> None:
    kernel.nodes.remove(IOMMU_PATH)
    assert "modprobe iommufd" in refused(kernel, Unsupported)


def test_no_node_of_iommufd_in_a_container_speaks_of_the_container(kernel: FakeKernel) -> None:
    kernel.nodes.remove(IOMMU_PATH)
    kernel.directories["/sys/class/misc/iommu"] = []
    assert f"--device={IOMMU_PATH}" in refused(kernel, Unsupported)


def test_permission_of_iommufd(kernel: FakeKernel) -> None:
    kernel.errors[f"open {IOMMU_PATH}"] = errno.EACCES
    said = refused(kernel, PermissionRefused)
    assert f"chmod 666 {IOMMU_PATH}" in said
    assert 'KERNEL=="iommu"' in said


def test_permission_of_the_device(kernel: FakeKernel) -> None:
    kernel.errors[f"open {CDEV_PATH}"] = errno.EACCES
    said = refused(kernel, PermissionRefused)
    assert "owner 0, group 0, mode 0600" in said
    assert 'SUBSYSTEM=="vfio-dev", KERNEL=="vfio0"' in said


def test_no_node_of_the_device(kernel: FakeKernel) -> None:
    kernel.nodes.remove(CDEV_PATH)
    assert f"--device={CDEV_PATH} --device={IOMMU_PATH}" in refused(kernel, DeviceNotFound)


def test_another_error_of_iommufd_is_named(kernel: FakeKernel) -> None:
    kernel.errors["IOAS_ALLOC"] = errno.EMFILE
    assert "EMFILE" in refused(kernel, Unsupported)


def test_eperm_of_bind_explains_unsafe_interrupts(kernel: FakeKernel) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EPERM
    kernel.texts[UNSAFE] = "N"
    said = refused(kernel, PermissionRefused)
    assert "interrupts are not remapped" in said
    assert f"echo 1 > {UNSAFE}" in said


def test_eperm_of_bind_where_unsafe_interrupts_are_allowed(kernel: FakeKernel) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EPERM
    kernel.texts[UNSAFE] = "Y"
    assert "something else" in refused(kernel, PermissionRefused)


def test_eperm_of_bind_where_a_kernel_driver_has_a_member_of_the_group(kernel: FakeKernel) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EPERM
    kernel.add_member("0000:01:00.1", "snd_hda_intel")
    assert "in the way: 0000:01:00.1 (snd_hda_intel)." in refused(kernel, DeviceBusy)


def test_eperm_of_bind_where_another_program_has_a_member_of_the_group(
    kernel: FakeKernel,
) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EPERM
    kernel.add_second(group=GROUP)
    kernel.offer_cdevs()
    kernel.hold(4321, SECOND_CDEV_PATH)
    said = refused(kernel, DeviceBusy)
    assert f"process 4321 (qemu) has {SECOND} open ({SECOND_CDEV_PATH})" in said
    assert "share_dma_with" in said


def test_a_device_that_is_bound_names_the_process(kernel: FakeKernel) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EINVAL
    kernel.hold(4321, CDEV_PATH)
    assert f"{CDEV_PATH} ({ADDRESS}) is already open by process 4321 (qemu)" in refused(
        kernel, DeviceBusy
    )


def test_a_group_that_is_open_names_the_process(kernel: FakeKernel) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EBUSY
    kernel.hold(4321, GROUP_PATH)
    said = refused(kernel, DeviceBusy)
    assert f"process 4321 (qemu) has its IOMMU group open ({GROUP_PATH})" in said


def test_a_device_that_is_held_by_whom_we_cannot_see(kernel: FakeKernel) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EBUSY
    assert f"fuser -v {CDEV_PATH} {GROUP_PATH}" in refused(kernel, DeviceBusy)


def test_the_group_of_a_device_that_is_open_by_its_cdev_names_the_process(
    kernel: FakeKernel,
) -> None:
    kernel.errors[f"open {GROUP_PATH}"] = errno.EBUSY
    kernel.hold(4321, CDEV_PATH)
    with pytest.raises(DeviceBusy, match=rf"process 4321 \(qemu\) has {ADDRESS} open"):
        open_fake(kernel, Interface.GROUP)


@pytest.mark.parametrize(
    ("number", "expected", "said"),
    [
        (errno.EBUSY, DeviceBusy, "share_dma_with"),
        (errno.ENODEV, Unsupported, "ENODEV"),
        (errno.EINVAL, Unsupported, "EINVAL"),
    ],
)
def test_an_address_space_that_does_not_take_the_device(
    kernel: FakeKernel, number: int, expected: type[PymmioError], said: str
) -> None:
    kernel.errors["DEVICE_ATTACH_IOMMUFD_PT"] = number
    assert said in refused(kernel, expected)


@pytest.mark.parametrize("ranges", [[(5, 4)], [(0, 0xFFFF), (0x8000, 0x1_0000)]])
def test_ranges_that_make_no_sense_are_refused(
    kernel: FakeKernel, ranges: list[tuple[int, int]]
) -> None:
    kernel.iommufd.ranges = ranges
    assert "no range of its own" in refused(kernel, ProtocolError)


# --- which way is taken --------------------------------------------------------------------------


def test_auto_is_cdev_where_it_is_offered(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    assert (device.interface, device.passed_over) == ("cdev", None)


def test_auto_is_group_elsewhere_and_keeps_the_reason() -> None:
    device = open_fake(FakeKernel())
    assert device.interface == "group"
    assert "no cdevs" in str(device.passed_over)


@pytest.mark.parametrize(
    ("step", "number"),
    [
        (f"open {CDEV_PATH}", errno.EACCES),
        (f"open {CDEV_PATH}", errno.ENOENT),
        ("DEVICE_BIND_IOMMUFD", errno.EPERM),
        ("IOAS_ALLOC", errno.ENOTTY),
    ],
)
def test_auto_is_group_where_the_cdev_is_refused_and_keeps_the_reason(
    kernel: FakeKernel, step: str, number: int
) -> None:
    kernel.errors[step] = number
    device = open_fake(kernel)
    assert device.interface == "group"
    assert device.passed_over is not None
    device.close()
    assert kernel.open_fds == {}


def test_auto_does_not_try_the_group_of_a_device_in_use(kernel: FakeKernel) -> None:
    kernel.errors["DEVICE_BIND_IOMMUFD"] = errno.EBUSY
    with pytest.raises(DeviceBusy):
        open_fake(kernel)
    assert f"open {GROUP_PATH}" not in kernel.log


def test_auto_that_fails_twice_tells_both(kernel: FakeKernel) -> None:
    kernel.errors |= {f"open {CDEV_PATH}": errno.EACCES, f"open {GROUP_PATH}": errno.EACCES}
    with pytest.raises(PermissionRefused) as caught:
        open_fake(kernel)
    said = str(caught.value)
    assert said.startswith(CDEV_PATH)
    assert f"(and by interface=group: {GROUP_PATH}" in said
    assert kernel.open_fds == {}


def test_auto_tells_of_a_group_in_use_first(kernel: FakeKernel) -> None:
    kernel.errors |= {f"open {CDEV_PATH}": errno.EACCES, f"open {GROUP_PATH}": errno.EBUSY}
    with pytest.raises(DeviceBusy, match=r"and by interface=cdev: /dev/vfio/devices/vfio0"):
        open_fake(kernel)


def test_a_kernel_with_neither_tells_both() -> None:
    kernel = FakeKernel()
    kernel.nodes.remove(GROUP_PATH)
    with pytest.raises(DeviceNotFound, match=r"no /dev/vfio/7.*interface=cdev.*no cdevs"):
        open_fake(kernel)


@pytest.mark.parametrize("interface", [Interface.AUTO, Interface.CDEV, Interface.GROUP])
def test_a_device_that_vanishes_while_it_is_opened(
    kernel: FakeKernel, interface: Interface
) -> None:
    def vanish(path: str, flags: int) -> int:
        kernel.remove_device()
        kernel.nodes -= {CDEV_PATH, GROUP_PATH}
        return original(path, flags)

    original = kernel.open
    kernel.open = vanish  # type: ignore[method-assign]
    with pytest.raises(DeviceNotFound, match=f"{ADDRESS} vanished while it was opened"):
        open_fake(kernel, interface)
    assert kernel.open_fds == {}


# --- several devices -----------------------------------------------------------------------------


@pytest.fixture
def two(kernel: FakeKernel) -> FakeKernel:
    kernel.add_second()
    kernel.offer_cdevs()
    return kernel


def test_two_devices_are_attached_to_one_address_space(two: FakeKernel) -> None:
    first = open_fake(two)
    second = open_second(two, first)
    assert second.dma is first.dma
    assert len(two.iommufd.ioas) == 1
    assert len(set(two.iommufd.attached.values())) == 1
    two.log.clear()
    first.close()
    assert two.log == ["DEVICE_DETACH_IOMMUFD_PT", f"close {CDEV_PATH}"]
    second.close()
    assert two.log[2:] == [f"close {SECOND_CDEV_PATH}", "DESTROY", f"close {IOMMU_PATH}"]
    assert two.open_fds == {}


def test_ranges_are_asked_again_when_a_device_comes_in(two: FakeKernel) -> None:
    first = open_fake(two)
    two.iommufd.ranges = [(0, 0xFFFF_FFFF)]
    open_second(two, first)
    assert [r.last for r in first.dma.iova_ranges] == [0xFFFF_FFFF]


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EINVAL])
def test_a_device_that_does_not_fit_is_refused_with_the_way_out(
    two: FakeKernel, number: int
) -> None:
    first = open_fake(two)
    two.errors["DEVICE_ATTACH_IOMMUFD_PT"] = number
    before = dict(two.open_fds)
    with pytest.raises(Unsupported, match=r"cannot share.*before memory is allocated"):
        open_second(two, first)
    assert two.open_fds == before


def _steps_of_joining() -> list[str]:
    kernel = FakeKernel()
    kernel.add_second()
    kernel.offer_cdevs()
    first = open_fake(kernel)
    kernel.log.clear()
    open_second(kernel, first)
    return kernel.log


@pytest.mark.parametrize("step", range(len(_steps_of_joining())))
def test_any_step_that_fails_leaves_the_first_as_it_was(two: FakeKernel, step: int) -> None:
    first = open_fake(two)
    before, attached = dict(two.open_fds), dict(two.iommufd.attached)
    two.fail_at = len(two.log) + step
    with pytest.raises(PymmioError):
        open_second(two, first)
    two.fail_at = None
    assert two.open_fds == before
    assert two.iommufd.attached == attached
    first.close()
    assert two.open_fds == {}
    assert two.iommufd.ioas == {}


def test_another_interface_than_the_first_is_refused(two: FakeKernel) -> None:
    first = open_fake(two, Interface.GROUP)
    with pytest.raises(Unsupported, match=r"by cdev cannot share .* open by group"):
        open_second(two, first, Interface.CDEV)
