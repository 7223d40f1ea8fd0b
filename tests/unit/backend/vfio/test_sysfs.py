from __future__ import annotations

import os

import pytest

from pymmio.backend.vfio.kernel import LinuxKernel
from pymmio.backend.vfio.sysfs import GroupMember, PciFunction, group_members, holders
from pymmio.errors import DeviceNotFound
from pymmio.pci.address import PciAddress
from tests.unit.backend.vfio.fake_kernel import ADDRESS, DEVICE_PATH, GROUP, FakeKernel

WHERE = PciAddress.parse(ADDRESS)


def test_a_function_is_read() -> None:
    function = PciFunction.look_up(FakeKernel(), WHERE)
    assert (function.vendor_id, function.device_id) == (0x1B36, 0x0010)
    assert (function.driver, function.iommu_group) == ("vfio-pci", GROUP)
    assert function.io_port_bars == {2}
    assert function.is_bound_to_vfio


def test_no_such_function() -> None:
    with pytest.raises(DeviceNotFound, match=r"0000:02:00\.0"):
        PciFunction.look_up(FakeKernel(), PciAddress.parse("0000:02:00.0"))


def test_a_function_that_vanishes_in_between() -> None:
    kernel = FakeKernel()
    del kernel.texts[f"{DEVICE_PATH}/resource"]
    with pytest.raises(DeviceNotFound, match="vanished"):
        PciFunction.look_up(kernel, WHERE)


@pytest.mark.parametrize("driver", ["mlx5_vfio_pci", "vfio-pci", "nvgrace-gpu-vfio-pci"])
def test_variants_of_vfio_pci_count_as_vfio(driver: str) -> None:
    kernel = FakeKernel()
    kernel.bind(driver)
    assert PciFunction.look_up(kernel, WHERE).is_bound_to_vfio


def test_a_vfio_device_of_any_driver_counts_as_vfio() -> None:
    kernel = FakeKernel()
    kernel.links[f"{DEVICE_PATH}/driver"] = "../drivers/xe"
    assert PciFunction.look_up(kernel, WHERE).is_bound_to_vfio


@pytest.mark.parametrize(
    ("driver", "blocks"),
    [(None, False), ("vfio-pci", False), ("pci-stub", False), ("pcieport", False), ("nvme", True)],
)
def test_which_members_block_a_group(driver: str | None, blocks: bool) -> None:
    assert GroupMember("0000:01:00.1", driver).blocks is blocks


def test_group_members_are_named_with_their_drivers() -> None:
    kernel = FakeKernel()
    kernel.add_member("0000:01:00.1", "snd_hda_intel")
    assert [str(member) for member in group_members(kernel, GROUP)] == [
        "0000:01:00.0 (vfio-pci)",
        "0000:01:00.1 (snd_hda_intel)",
    ]
    assert group_members(kernel, 99) == ()


def test_holders_of_a_file_are_found_in_proc() -> None:
    fd = os.open("/dev/zero", os.O_RDONLY)
    try:
        assert any(h.startswith(f"{os.getpid()} (") for h in holders(LinuxKernel(), "/dev/zero"))
    finally:
        os.close(fd)
    assert holders(FakeKernel(), "/dev/zero") == ()


def test_holders_of_other_files_are_not_named() -> None:
    kernel = FakeKernel()
    kernel.directories |= {"/proc": ["1", "2"], "/proc/1/fd": ["0"], "/proc/2/fd": ["0", "1"]}
    kernel.links |= {
        "/proc/1/fd/0": "/dev/null",
        "/proc/2/fd/0": "/dev/zero",
        "/proc/2/fd/1": "/dev/zero",
    }
    assert holders(kernel, "/dev/zero") == ("2 (?)",)
