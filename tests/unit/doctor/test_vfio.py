"""The driver, the two ways to devices, and unsafe settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.doctor import Finding, State, vfio
from tests.unit.doctor.fake_host import KERNEL, FakeHost, only, plain, ready

FOLDER = f"/lib/modules/{KERNEL}"
TYPE1 = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
IOMMUFD = "/sys/module/iommufd/parameters/allow_unsafe_interrupts"


def driver(host: FakeHost) -> Finding:
    (finding,) = vfio.driver(host)
    assert finding.needed_for == ("vfio",)
    return finding


def interfaces(host: FakeHost) -> dict[str, Finding]:
    return {finding.name: finding for finding in vfio.interfaces(host)}


def installed(host: FakeHost) -> FakeHost:
    """Install the modules of a distribution: VFIO is there to be loaded, iommufd is not."""
    host.text(f"{FOLDER}/modules.builtin", "kernel/drivers/pci/pci.ko\n")
    names = ("vfio", "vfio_iommu_type1", "pci/vfio-pci")
    lines = "".join(f"kernel/drivers/vfio/{name}.ko.xz:\n" for name in names)
    host.text(f"{FOLDER}/modules.dep", lines)
    host.text("/dev/vfio/vfio", "")
    return host


def test_all_is_there(tmp_path: Path) -> None:
    host = ready(tmp_path)
    assert driver(host).state is State.OK
    found = interfaces(host)
    assert {name: finding.state for name, finding in found.items()} == {
        "cdev and iommufd": State.OK,
        "group and type1": State.OK,
        "interfaces": State.OK,
    }
    assert found["interfaces"].seen == "cdev and group"
    assert found["interfaces"].needed_for == ("vfio",)


def test_a_driver_that_shows_itself_only_on_the_bus(tmp_path: Path) -> None:
    host = plain(tmp_path)
    assert driver(host).state is State.UNKNOWN
    host.folder("/sys/bus/pci/drivers/vfio-pci")
    assert (driver(host).state, driver(host).seen) == (State.OK, "built in")


def test_modules_that_can_be_loaded_are_a_warning(tmp_path: Path) -> None:
    host = installed(plain(tmp_path))
    assert driver(host).state is State.WARN
    assert "modprobe vfio-pci" in driver(host).next_step
    found = interfaces(host)
    assert found["interfaces"].state is State.WARN
    assert found["interfaces"].seen == "group after one step"
    assert found["interfaces"].next_step == "As root: modprobe vfio_iommu_type1"
    assert found["cdev and iommufd"].seen == "no /dev/iommu: iommufd is not in this kernel"


def test_a_kernel_without_any_of_it(tmp_path: Path) -> None:
    host = plain(tmp_path)
    host.config("PCI")
    assert driver(host).state is State.MISSING
    found = interfaces(host)["interfaces"]
    assert found.state is State.MISSING
    assert "cdev: this kernel (Linux" in found.seen
    assert "group: this kernel offers no groups" in found.seen


def test_one_way_is_enough(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.real("/dev/iommu").unlink()
    found = interfaces(host)
    assert found["cdev and iommufd"].state is State.INFO
    assert (found["interfaces"].state, found["interfaces"].seen) == (State.OK, "group")


def test_a_container_that_lacks_the_nodes(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.folder("/sys/class/misc/iommu")
    host.real("/dev/iommu").unlink()
    host.real("/dev/vfio/vfio").unlink()
    found = interfaces(host)
    assert "--device=/dev/iommu" in found["cdev and iommufd"].next_step
    assert "--device=/dev/vfio/vfio" in found["group and type1"].next_step
    assert found["interfaces"].state is State.MISSING


def test_iommufd_that_can_be_loaded(tmp_path: Path) -> None:
    host = installed(plain(tmp_path))
    with host.real(f"{FOLDER}/modules.dep").open("a") as file:
        file.write("kernel/drivers/iommu/iommufd/iommufd.ko.xz:\n")
    assert interfaces(host)["interfaces"].seen == "cdev and group after one step"


def test_iommufd_may_serve_as_container(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.real("/sys/module/vfio_iommu_type1/initstate").unlink()
    host.real(TYPE1).unlink()
    host.real(TYPE1).parent.rmdir()
    host.real("/sys/module/vfio_iommu_type1").rmdir()
    host.config("VFIO_GROUP", "VFIO_DEVICE_CDEV", "IOMMUFD_VFIO_CONTAINER")
    assert interfaces(host)["group and type1"].state is State.OK


def test_a_user_who_may_not_open_the_nodes(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.forbidden = {"/dev/iommu"}
    found = interfaces(host)
    assert "/dev/iommu is not for user 1000: owner" in found["cdev and iommufd"].seen
    assert "pymmio setup-user" in found["cdev and iommufd"].next_step
    assert found["interfaces"].seen == "group"
    host.forbidden.add("/dev/vfio/vfio")
    assert interfaces(host)["interfaces"].state is State.MISSING


def test_interrupts_that_are_not_remapped_close_both_ways(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.text("/proc/interrupts", "  0:  5  IO-APIC  2-edge  timer\n")
    found = interfaces(host)
    assert found["interfaces"].state is State.MISSING
    assert f"echo 1 > {IOMMUFD}" in found["cdev and iommufd"].next_step
    assert f"echo 1 > {TYPE1}" in found["group and type1"].next_step
    host.text(TYPE1, "Y\n")
    found = interfaces(host)
    assert (found["interfaces"].state, found["interfaces"].seen) == (State.OK, "group")


def unsafe(host: FakeHost) -> Finding:
    return only(vfio.unsafe_interrupts(host), "unsafe interrupts")


def test_unsafe_interrupts_are_refused_by_default(tmp_path: Path) -> None:
    assert unsafe(ready(tmp_path)).state is State.OK
    assert unsafe(plain(tmp_path / "other")).state is State.INFO


def test_unsafe_interrupts_that_are_allowed_are_a_warning(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.text(TYPE1, "Y\n")
    assert unsafe(host).state is State.WARN
    assert "though this machine remaps interrupts" in unsafe(host).seen
    assert unsafe(host).next_step == f"as root: echo 0 > {TYPE1}"
    host.text("/proc/interrupts", "  0:  5  IO-APIC  2-edge  timer\n")
    assert "can send any interrupt" in unsafe(host).seen


@pytest.mark.parametrize(
    ("value", "state"), [("Y", State.WARN), ("N", State.OK), (None, State.INFO)]
)
def test_no_iommu_mode(tmp_path: Path, value: str | None, state: State) -> None:
    host = plain(tmp_path)
    if value is not None:
        host.text("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", f"{value}\n")
    (finding,) = vfio.noiommu(host)
    assert finding.state is state
