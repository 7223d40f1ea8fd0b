from __future__ import annotations

from dataclasses import dataclass, field

import pytest

import pymmio.backend.vfio
from pymmio.backend.vfio.opening import Interface
from pymmio.errors import DeviceBusy, DeviceNotFound, Unsupported, UriError
from tests.unit.backend.vfio.fake_kernel import ADDRESS, DEVICE_PATH, FakeKernel
from tests.unit.backend.vfio.helpers import open_fake


@dataclass
class Uri:
    target: str = ADDRESS
    options: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def test_a_device_of_a_kernel_driver_says_which_and_how_to_bind(kernel: FakeKernel) -> None:
    kernel.bind("nvme")
    with pytest.raises(DeviceBusy, match="bound to the kernel driver nvme") as caught:
        open_fake(kernel)
    said = str(caught.value)
    assert f"echo vfio-pci > {DEVICE_PATH}/driver_override" in said
    assert f"echo {ADDRESS} > {DEVICE_PATH}/driver/unbind" in said
    assert f"echo {ADDRESS} > /sys/bus/pci/drivers_probe" in said
    assert "modprobe" not in said
    assert kernel.log == []


def test_a_device_of_no_driver_is_not_told_to_unbind(kernel: FakeKernel) -> None:
    kernel.bind(None)
    with pytest.raises(Unsupported, match="bound to no driver") as caught:
        open_fake(kernel)
    assert "unbind" not in str(caught.value)


def test_vfio_pci_that_is_not_loaded_is_named_first(kernel: FakeKernel) -> None:
    kernel.bind("nvme")
    del kernel.directories["/sys/bus/pci/drivers/vfio-pci"]
    with pytest.raises(DeviceBusy, match="uses it: modprobe vfio-pci; echo"):
        open_fake(kernel)


def test_a_kernel_driver_without_an_iommu_speaks_of_the_iommu(kernel: FakeKernel) -> None:
    kernel.bind("nvme")
    del kernel.links[f"{DEVICE_PATH}/iommu_group"]
    with pytest.raises(Unsupported, match="IOMMU group"):
        open_fake(kernel)


def test_no_such_device(kernel: FakeKernel) -> None:
    kernel.remove_device()
    with pytest.raises(DeviceNotFound, match=ADDRESS):
        open_fake(kernel)
    assert kernel.log == []


@pytest.mark.parametrize("interface", [Interface.AUTO, Interface.GROUP])
def test_group_is_the_way(kernel: FakeKernel, interface: Interface) -> None:
    with_device = open_fake(kernel, interface)
    assert with_device.interface == "group"
    with_device.close()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (Uri(options={"interface": "magic"}), "auto, group, cdev, noiommu"),
        (Uri(options={"colour": "red"}), "'colour'"),
        (Uri(options={"vf_token": "red"}), "uuidgen"),
        (Uri(target="not an address"), "not an address"),
    ],
)
def test_uris_that_make_no_sense(uri: Uri, said: str) -> None:
    with pytest.raises(UriError, match=said):
        pymmio.backend.vfio.open(uri)  # type: ignore[arg-type]


def test_the_running_machine_has_no_such_device() -> None:
    with pytest.raises(DeviceNotFound, match=r"ffff:ff:1f\.7"):
        pymmio.backend.vfio.open(Uri("ffff:ff:1f.7"))  # type: ignore[arg-type]
