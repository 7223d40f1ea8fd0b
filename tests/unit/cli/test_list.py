"""``pymmio list``."""

from __future__ import annotations

import json

import pytest

import pymmio
from pymmio.pci import PciAddress, PciDeviceInfo, PciResource
from tests.unit.cli.running import json_of, output, run, run_process

DISK = PciDeviceInfo(
    address=PciAddress.parse("0000:01:00.0"),
    vendor_id=0x1B36,
    device_id=0x0010,
    class_code=0x010802,
    revision_id=2,
    subsystem_vendor_id=0,
    subsystem_id=0,
    name="Red Hat, Inc. QEMU NVM Express Controller",
    class_name="Non-Volatile memory controller",
    driver="nvme",
    iommu_group=3,
    numa_node=None,
    resources=(PciResource(0, 0xFEBF0000, 16384, is_64bit=True),),
)
BRIDGE = PciDeviceInfo(
    address=PciAddress.parse("0000:00:00.0"),
    vendor_id=0x8086,
    device_id=0x29C0,
    class_code=0x060000,
    revision_id=0,
    subsystem_vendor_id=0,
    subsystem_id=0,
    name="host bridge 8086:29c0",
    class_name="host bridge",
    driver=None,
    iommu_group=None,
    numa_node=None,
    resources=(),
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[PciDeviceInfo]:
    devices: list[PciDeviceInfo] = []
    monkeypatch.setattr(pymmio, "discover", lambda: devices, raising=False)
    return devices


def test_lists_address_class_name_driver_and_group(machine: list[PciDeviceInfo]) -> None:
    machine += [BRIDGE, DISK]
    head, bridge, disk = output("list").splitlines()
    assert head.split() == ["address", "class", "name", "driver", "group"]
    assert bridge.split() == [
        "0000:00:00.0",
        "host",
        "bridge",
        "host",
        "bridge",
        "8086:29c0",
        "-",
        "-",
    ]
    assert disk.startswith("0000:01:00.0  Non-Volatile memory controller  Red Hat, Inc. QEMU")
    assert disk.split()[-2:] == ["nvme", "3"]


def test_json_has_the_numbers(machine: list[PciDeviceInfo]) -> None:
    machine += [DISK]
    (found,) = json_of("list")
    assert found["address"] == "0000:01:00.0"
    assert found["class_code"] == 0x010802
    assert found["driver"] == "nvme"
    assert found["iommu_group"] == 3
    assert found["resources"][0]["size"] == 16384


def test_nothing_is_one_clear_line(machine: list[PciDeviceInfo]) -> None:
    result = run("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "pymmio: no PCI device here; sim:edu and sim:nvme need none\n"


def test_nothing_is_an_empty_list_in_json(machine: list[PciDeviceInfo]) -> None:
    assert json_of("list") == []


def test_lists_this_machine() -> None:
    done = run_process("list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)) == len(pymmio.discover())
