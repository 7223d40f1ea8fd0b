"""IOMMU: who has to do what so that there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.doctor import State, iommu
from tests.unit.doctor.fake_host import BRIDGE, NVME, FakeHost, plain, ready


def units(host: FakeHost) -> tuple[State, str, str]:
    (finding,) = iommu.units(host)
    return finding.state, finding.seen, finding.next_step


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("dmar0", "Intel VT-d"),
        ("ivhd1", "AMD-Vi"),
        ("smmu3.0x0000000009050000", "Arm SMMU"),
        ("s390-iommu.16", "zPCI"),
        ("0000:00:02.0", "virtio-iommu"),
        ("something", "something"),
    ],
)
def test_the_kind_is_told_by_the_name(tmp_path: Path, unit: str, kind: str) -> None:
    host = plain(tmp_path)
    host.folder(f"/sys/class/iommu/{unit}")
    assert units(host) == (State.OK, f"{kind}: {unit}", "")


def test_many_units_are_counted(tmp_path: Path) -> None:
    host = plain(tmp_path)
    for number in range(8):
        host.folder(f"/sys/class/iommu/dmar{number}")
    assert units(host)[1] == "Intel VT-d: dmar0, dmar1, dmar2, dmar3 and 4 more"


def test_intel_without_a_table_needs_firmware_and_kernel(tmp_path: Path) -> None:
    state, seen, step = units(plain(tmp_path))
    assert (state, seen) == (State.MISSING, "none in use")
    assert step == "Boot with intel_iommu=on, after switching VT-d on in the firmware"


def test_intel_with_a_table_needs_the_kernel_only(tmp_path: Path) -> None:
    host = plain(tmp_path)
    host.data("/sys/firmware/acpi/tables/DMAR", b"")
    state, seen, step = units(host)
    assert (state, seen) == (State.MISSING, "none in use, though the firmware tells of Intel VT-d")
    assert step == "Boot with intel_iommu=on"


@pytest.mark.parametrize("word", ["intel_iommu=off", "iommu=off", "intel_iommu=sm_on,off"])
def test_what_was_switched_off_comes_back_by_leaving_it_out(tmp_path: Path, word: str) -> None:
    host = plain(tmp_path)
    host.text("/proc/cmdline", f"quiet {word}\n")
    assert units(host)[2].startswith(f"Boot without {word}. Boot with intel_iommu=on, after")
    host.data("/sys/firmware/acpi/tables/DMAR", b"")
    assert units(host)[2] == f"Boot without {word}"
    (finding,) = iommu.kernel_arguments(host)
    assert (finding.state, finding.seen) == (State.WARN, word)


def test_amd_needs_the_firmware(tmp_path: Path) -> None:
    host = plain(tmp_path)
    host.processor(vendor_id="AuthenticAMD", flags="fpu")
    assert "AMD-Vi (IOMMU) on in the firmware" in units(host)[2]


def test_a_virtual_machine_needs_its_host(tmp_path: Path) -> None:
    host = plain(tmp_path)
    host.processor(vendor_id="GenuineIntel", flags="fpu hypervisor")
    assert "-device intel-iommu,intremap=on" in units(host)[2]


@pytest.mark.parametrize(("machine", "word"), [("aarch64", "SMMU"), ("s390x", "zPCI")])
def test_other_architectures(tmp_path: Path, machine: str, word: str) -> None:
    host = FakeHost(tmp_path, machine=machine)
    host.processor(processor="0")
    assert word in units(host)[2]


def test_no_group_is_what_vfio_lacks(tmp_path: Path) -> None:
    (finding,) = iommu.groups(plain(tmp_path))
    assert finding.state is State.MISSING
    assert "any of 2 PCI functions" in finding.seen
    assert finding.needed_for == ("vfio",)


def test_groups_of_vfio_without_an_iommu_do_not_count(tmp_path: Path) -> None:
    host = plain(tmp_path)
    host.text("/sys/kernel/iommu_groups/0/name", "vfio-noiommu\n")
    (finding,) = iommu.groups(host)
    assert finding.state is State.MISSING


def test_all_in_groups(tmp_path: Path) -> None:
    (finding,) = iommu.groups(ready(tmp_path))
    assert (finding.state, finding.seen) == (State.OK, "2 groups, 2 of 2 PCI functions")


def test_one_outside_is_named(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.function("0000:05:00.0", driver="nvme")
    (finding,) = iommu.groups(host)
    assert finding.state is State.WARN
    assert "2 of 3 PCI functions; in none: 0000:05:00.0" in finding.seen


def test_no_pci_at_all(tmp_path: Path) -> None:
    (finding,) = iommu.groups(FakeHost(tmp_path))
    assert (finding.state, finding.seen) == (State.INFO, "no PCI function here")


def test_arguments_that_say_nothing_against_it_are_a_fact(tmp_path: Path) -> None:
    (finding,) = iommu.kernel_arguments(ready(tmp_path))
    assert (finding.state, finding.seen) == (State.INFO, "intel_iommu=on iommu=pt")
    (finding,) = iommu.kernel_arguments(plain(tmp_path / "other"))
    assert finding.seen == "nothing about the IOMMU"


def test_remapping_is_seen_by_the_names_of_interrupt_chips(tmp_path: Path) -> None:
    host = ready(tmp_path)
    (finding,) = iommu.interrupt_remapping(host)
    assert finding.state is State.OK
    host.text("/proc/interrupts", "  CPU0\n 24: 0 PCI-MSI-0000:01:00.0  0-edge  nvme0q0\n")
    (finding,) = iommu.interrupt_remapping(host)
    assert finding.state is State.WARN
    assert "intremap=on" in finding.next_step


def test_without_an_iommu_there_is_nothing_to_remap(tmp_path: Path) -> None:
    (finding,) = iommu.interrupt_remapping(plain(tmp_path))
    assert finding.state is State.INFO


def test_other_architectures_do_not_show_it(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, machine="aarch64")
    assert iommu.interrupts_are_remapped(host) is None
    (finding,) = iommu.interrupt_remapping(host)
    assert finding.state is State.INFO


def test_the_fakes_have_what_these_tests_believe(tmp_path: Path) -> None:
    assert ready(tmp_path).listed("/sys/bus/pci/devices") == [BRIDGE, NVME]
