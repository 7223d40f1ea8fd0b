"""Each device: can this user open it now?"""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio import policy
from pymmio.doctor import Finding, State, devices
from pymmio.errors import PolicyRefused
from pymmio.uri import DeviceUri
from tests.unit.doctor.fake_host import BRIDGE, NIC, NVME, FakeHost, only, plain, ready


def nvme(host: FakeHost) -> Finding:
    return only(devices.functions(host), NVME)


def test_a_device_that_is_ready_says_how_to_use_it(tmp_path: Path) -> None:
    finding = nvme(ready(tmp_path))
    assert finding.state is State.OK
    assert finding.seen.endswith("ready by cdev and group, group 7")
    assert finding.next_step == f"pymmio config vfio:{NVME}"
    assert finding.needed_for == (f"vfio:{NVME}",)


def test_bridges_are_counted_only(tmp_path: Path) -> None:
    found = list(devices.functions(ready(tmp_path)))
    assert BRIDGE not in [finding.name for finding in found]
    assert only(found, "bridges").seen == "1, which stay with the kernel"


def test_without_an_iommu_it_says_so_once_more(tmp_path: Path) -> None:
    finding = nvme(plain(tmp_path))
    assert finding.state is State.INFO
    assert "driver nvme, in no IOMMU group" in finding.seen


@pytest.mark.parametrize(("driver", "said"), [("nvme", "driver nvme"), (None, "no driver")])
def test_a_device_of_the_kernels_can_be_bound(
    tmp_path: Path, driver: str | None, said: str
) -> None:
    host = ready(tmp_path)
    host.function("0000:05:00.0", driver=driver, group=9)
    finding = only(devices.functions(host), "0000:05:00.0")
    assert finding.state is State.INFO
    assert finding.seen.endswith(f"{said}, group 9")
    assert finding.next_step == "To drive it, as root: pymmio bind 0000:05:00.0"


def test_a_member_of_the_group_is_in_the_way(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.function(NIC, driver="e1000e", group=7, class_code=0x020000)
    finding = nvme(host)
    assert finding.state is State.MISSING
    assert f"IOMMU group 7 is not viable: {NIC} (e1000e)" in finding.seen
    assert finding.next_step.endswith(f"as root, pymmio bind {NVME} --group")
    assert "group 7 with " + NVME in only(devices.functions(host), NIC).seen


def test_a_member_without_driver_is_not_in_the_way(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.function(NIC, group=7, class_code=0x020000)
    assert nvme(host).state is State.OK
    assert f"group 7 with {NIC}" in nvme(host).seen


def test_a_node_of_somebody_else(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.forbidden = {"/dev/vfio/7", "/dev/vfio/devices/vfio0"}
    finding = nvme(host)
    assert finding.state is State.MISSING
    assert "/dev/vfio/7 is not for user 1000" in finding.seen
    assert "pymmio setup-user" in finding.next_step
    host.forbidden = {"/dev/vfio/7"}
    assert "ready by cdev," in nvme(host).seen
    host.forbidden = {"/dev/iommu"}
    assert "ready by group," in nvme(host).seen


def test_a_container_without_the_node(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.real("/dev/iommu").unlink()
    host.real("/dev/vfio/7").unlink()
    finding = nvme(host)
    assert finding.state is State.MISSING
    assert "there is no /dev/vfio/7" in finding.seen
    assert "--device=/dev/vfio/7" in finding.next_step


def test_a_kernel_without_cdevs(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.real(f"/sys/bus/pci/devices/{NVME}/vfio-dev/vfio0/dev").unlink()
    assert "ready by group," in nvme(host).seen


def test_what_the_machine_lacks_counts_for_the_device(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.text("/proc/interrupts", "  0:  5  IO-APIC  2-edge  timer\n")
    finding = nvme(host)
    assert finding.state is State.MISSING
    assert "interrupts are not remapped" in finding.seen


@pytest.mark.parametrize("node", ["/dev/vfio/7", "/dev/vfio/devices/vfio0"])
def test_a_device_in_use_names_the_process(tmp_path: Path, node: str) -> None:
    host = ready(tmp_path)
    host.link("/proc/4711/fd/3", node)
    host.text("/proc/4711/comm", "qemu\n")
    finding = nvme(host)
    assert finding.state is State.INFO
    assert finding.seen.endswith("in use by process 4711 (qemu)")


def test_a_device_without_iommu_is_not_ready(tmp_path: Path) -> None:
    host = plain(tmp_path)
    host.function("0000:05:00.0", driver="vfio-pci", group=0)
    host.text("/sys/kernel/iommu_groups/0/name", "vfio-noiommu\n")
    finding = only(devices.functions(host), "0000:05:00.0")
    assert finding.state is State.MISSING
    assert "interface=noiommu" in finding.next_step


def test_a_device_that_its_iommu_does_not_cover(tmp_path: Path) -> None:
    host = ready(tmp_path)
    host.function("0000:05:00.0", driver="nvme")
    finding = only(devices.functions(host), "0000:05:00.0")
    assert finding.state is State.MISSING
    assert "in no IOMMU group, others are" in finding.seen


def test_the_policy_is_asked(tmp_path: Path) -> None:
    def refuse(uri: DeviceUri) -> None:
        raise PolicyRefused(f"{uri} is refused", hint="Ask somebody")

    policy.set_policy(refuse)
    try:
        finding = nvme(ready(tmp_path))
    finally:
        policy.set_policy(None)
    assert finding.state is State.MISSING
    assert f"vfio:{NVME} is refused" in finding.seen
    assert finding.next_step == "Ask somebody"


def test_a_device_that_vanishes_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ready(tmp_path)
    read = host.read_text

    def vanishing(path: str) -> str:
        if path.endswith("/vendor"):
            raise FileNotFoundError(path)
        return read(path)

    monkeypatch.setattr(host, "read_text", vanishing)
    assert NVME not in [finding.name for finding in devices.functions(host)]


def test_a_machine_without_pci(tmp_path: Path) -> None:
    (finding,) = devices.functions(FakeHost(tmp_path))
    assert (finding.state, finding.name) == (State.INFO, "PCI functions")
