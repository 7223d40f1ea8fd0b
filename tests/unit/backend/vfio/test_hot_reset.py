from __future__ import annotations

import errno

import pytest

from pymmio.backend.vfio.device import VfioDevice
from pymmio.errors import Closed, DeviceBusy, DeviceGone, ProtocolError, Unsupported
from pymmio.pci.address import PciAddress
from pymmio.pci.resets import ResetKind, ResetMethod
from tests.unit.backend.vfio.fake_kernel import ADDRESS, DEVICE_PATH, GROUP, GROUP_PATH, FakeKernel
from tests.unit.backend.vfio.helpers import open_fake

SELF = (GROUP, 0, 1, 0)  # 0000:01:00.0
OTHER = (GROUP, 0, 1, 1)  # 0000:01:00.1, in the same group
ELSEWHERE = (9, 0, 1, 2)  # 0000:01:00.2, in another group
OTHER_ADDRESS = PciAddress.parse("0000:01:00.1")


def add_function(kernel: FakeKernel, name: str, group: int, driver: str | None) -> None:
    path = f"/sys/bus/pci/devices/{name}"
    kernel.directories[path] = []
    kernel.texts |= {f"{path}/vendor": "0x1", f"{path}/device": "0x2", f"{path}/resource": ""}
    kernel.links[f"{path}/iommu_group"] = f"../{group}"
    if driver is not None:
        kernel.links[f"{path}/driver"] = f"../{driver}"
    if group != GROUP:
        kernel.nodes.add(f"/dev/vfio/{group}")


@pytest.fixture
def kernel() -> FakeKernel:
    fake = FakeKernel()
    fake.hot_reset_info = [SELF]
    return fake


@pytest.fixture
def two(kernel: FakeKernel) -> FakeKernel:
    """Two functions of one group on the bus, the other one on VFIO and unused."""
    add_function(kernel, "0000:01:00.1", GROUP, "vfio-pci")
    kernel.hot_reset_info = [SELF, OTHER]
    return kernel


def hot(device: VfioDevice) -> ResetMethod:
    (method,) = (m for m in device.reset_methods().looked_at if m.kind is ResetKind.HOT)
    return method


def test_alone_on_the_bus(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    assert hot(device) == ResetMethod(ResetKind.HOT, True, "its bus has no other function")
    device.hot_reset()
    assert kernel.hot_resets == [[GROUP_PATH]]


def test_no_bus_to_reset(kernel: FakeKernel) -> None:
    kernel.hot_reset_info = None
    device = open_fake(kernel)
    assert not hot(device).is_available
    with pytest.raises(Unsupported, match="no slot or bus"):
        device.hot_reset()


def test_another_function_that_is_nobodys(two: FakeKernel) -> None:
    device = open_fake(two)
    assert hot(device).is_available
    assert hot(device).affects == ("0000:01:00.1",)
    device.hot_reset()
    assert two.hot_resets == [[GROUP_PATH]]


@pytest.mark.parametrize(
    ("driver", "says"), [("nvme", "driver nvme"), (None, "not bound to vfio-pci")]
)
def test_another_function_that_a_driver_has(
    kernel: FakeKernel, driver: str | None, says: str
) -> None:
    add_function(kernel, "0000:01:00.1", GROUP, driver)
    kernel.hot_reset_info = [SELF, OTHER]
    device = open_fake(kernel)
    assert not hot(device).is_available
    with pytest.raises(DeviceBusy, match=rf"0000:01:00.1 \({says}\)"):
        device.hot_reset(affecting=[OTHER_ADDRESS])
    assert kernel.hot_resets == []


def test_another_function_that_cannot_be_seen(kernel: FakeKernel) -> None:
    kernel.hot_reset_info = [SELF, OTHER]
    with pytest.raises(DeviceBusy, match="not to be seen"):
        open_fake(kernel).hot_reset()


def test_another_group_that_nobody_has_open_is_shown_to_the_kernel(kernel: FakeKernel) -> None:
    add_function(kernel, "0000:01:00.2", 9, "vfio-pci")
    kernel.hot_reset_info = [SELF, ELSEWHERE]
    device = open_fake(kernel)
    before = set(kernel.open_fds)
    device.hot_reset()
    assert kernel.hot_resets == [[GROUP_PATH, "/dev/vfio/9"]]
    assert set(kernel.open_fds) == before


def test_another_group_that_somebody_has_open(kernel: FakeKernel) -> None:
    add_function(kernel, "0000:01:00.2", 9, "vfio-pci")
    kernel.hot_reset_info = [SELF, ELSEWHERE]
    device = open_fake(kernel)
    kernel.errors["open /dev/vfio/9"] = errno.EBUSY
    with pytest.raises(DeviceBusy, match=r"/dev/vfio/9: Device or resource busy"):
        device.hot_reset(affecting=[PciAddress.parse("0000:01:00.2")])
    assert kernel.hot_resets == []


def test_an_open_device_of_ours_must_be_named(two: FakeKernel) -> None:
    device = open_fake(two)
    device._connection.container.attached(GROUP).shared.join()  # type: ignore[attr-defined]
    with pytest.raises(DeviceBusy, match=r"0000:01:00.1 \(open in this process\)"):
        device.hot_reset()
    device.hot_reset(affecting=[OTHER_ADDRESS])
    assert two.hot_resets == [[GROUP_PATH]]


@pytest.mark.parametrize(("devid", "is_possible"), [(0, True), (0xFFFF_FFFF, False)])
def test_devices_by_their_number_in_iommufd(two: FakeKernel, devid: int, is_possible: bool) -> None:
    two.hot_reset_flags = 1
    two.hot_reset_info = [(5, 0, 1, 0), (devid, 0, 1, 1)]
    assert hot(open_fake(two)).is_available is is_possible


def test_more_devices_than_expected_are_asked_for_again(kernel: FakeKernel) -> None:
    others = [(GROUP, 0, bus, devfn) for bus in (1, 2) for devfn in range(1, 200)]
    kernel.hot_reset_info = [SELF, *others]
    assert len(hot(open_fake(kernel)).affects) == len(others)


def test_an_absurd_answer(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def absurd(argument: bytearray) -> None:
        argument[8:12] = b"\xff" * 4

    monkeypatch.setattr(kernel, "_device_get_pci_hot_reset_info", absurd)
    device = open_fake(kernel)
    assert "4294967295 devices" in hot(device).says
    with pytest.raises(ProtocolError):
        device.hot_reset()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EINVAL, Unsupported), (errno.EAGAIN, DeviceBusy), (errno.ENXIO, DeviceGone)],
)
def test_a_reset_that_fails(kernel: FakeKernel, number: int, expected: type[Exception]) -> None:
    device = open_fake(kernel)
    kernel.errors["DEVICE_PCI_HOT_RESET"] = number
    with pytest.raises(expected, match=ADDRESS):
        device.hot_reset()


def test_reset_takes_the_bus_where_the_function_has_nothing_better(two: FakeKernel) -> None:
    two.device_flags = 0b10
    open_fake(two).reset()
    assert two.hot_resets == [[GROUP_PATH]]
    assert "DEVICE_RESET" not in two.log


def test_the_error_says_what_was_looked_at(kernel: FakeKernel) -> None:
    kernel.device_flags = 0b10
    kernel.hot_reset_info = None
    with pytest.raises(Unsupported) as caught:
        open_fake(kernel).reset()
    for said in (
        "flr: no, no PCI Express capability",
        "af_flr: no, no advanced features",
        "pm: no, no power management",
        "hot: no, no slot or bus",
    ):
        assert said in str(caught.value)


def test_the_kernels_own_methods(kernel: FakeKernel) -> None:
    kernel.texts[f"{DEVICE_PATH}/reset_method"] = "device_specific bus"
    device = open_fake(kernel)
    assert [method.kind for method in device.reset_methods()] == ["device_specific", "bus", "hot"]
    kernel.device_flags = 0b10
    device.close()
    assert [method.kind for method in open_fake(kernel).reset_methods()] == ["hot"]


def test_after_close(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    device.close()
    for use in (device.hot_reset, device.reset_methods):
        with pytest.raises(Closed):
            use()
