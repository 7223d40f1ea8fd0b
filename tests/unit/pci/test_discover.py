from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pymmio.pci import PciAddress, PciMatch, PciNames, PciResource, discover

# the package's name for it is the function
module = importlib.import_module("pymmio.pci.discover")

EMPTY = "0x0000000000000000 0x0000000000000000 0x0000000000000000"
NO_RESOURCES = [EMPTY] * 13
NVME_RESOURCES = ["0x00000000febf0000 0x00000000febf3fff 0x0000000000140204", *[EMPTY] * 12]
E1000E_RESOURCES = [
    "0x00000000feb80000 0x00000000feb9ffff 0x0000000000040200",
    "0x00000000feba0000 0x00000000febbffff 0x0000000000040200",
    "0x000000000000c000 0x000000000000c01f 0x0000000000040101",
    "0x00000000febc0000 0x00000000febc3fff 0x000000000014220c",
    *[EMPTY] * 2,
    "0x00000000feb00000 0x00000000feb3ffff 0x0000000000046200",
]


@pytest.fixture(autouse=True)
def no_system_names(monkeypatch):
    """Keep the machine's own pci.ids out of the tests."""
    names = PciNames.parse(["1b36  Red Hat, Inc.", "\t0010  QEMU NVM Express Controller"])
    monkeypatch.setattr(module, "system_names", lambda: names)


class Tree:
    """A directory in the form of /sys with PCI functions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.devices = root / "bus/pci/devices"

    def add(
        self, address: str, resources=NO_RESOURCES, *, driver=None, group=None, **attributes
    ) -> Path:
        path = self.root / "devices/pci0000:00" / address
        path.mkdir(parents=True)
        content = {
            "vendor": "0x1b36",
            "device": "0x0010",
            "class": "0x010802",
            "revision": "0x02",
            "subsystem_vendor": "0x1af4",
            "subsystem_device": "0x1100",
            "numa_node": "-1",
            "resource": "\n".join(resources),
        } | attributes
        for name, text in content.items():
            if text is not None:
                (path / name).write_text(text + "\n")
        if driver:
            (path / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        if group is not None:
            (path / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{group}")
        self.devices.mkdir(parents=True, exist_ok=True)
        (self.devices / address).symlink_to(path)
        return path


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_everything_of_a_function_is_found(tree):
    tree.add("0000:01:00.0", NVME_RESOURCES, driver="vfio-pci", group=12, numa_node="1")
    (info,) = discover(sysfs=tree.root)
    assert info.as_dict() == {
        "address": "0000:01:00.0",
        "vendor_id": 0x1B36,
        "device_id": 0x0010,
        "class_code": 0x010802,
        "revision_id": 2,
        "subsystem_vendor_id": 0x1AF4,
        "subsystem_id": 0x1100,
        "name": "Red Hat, Inc. QEMU NVM Express Controller",
        "class_name": "non-volatile memory controller",
        "driver": "vfio-pci",
        "iommu_group": 12,
        "numa_node": 1,
        "resources": [
            {
                "index": 0,
                "address": 0xFEBF_0000,
                "size": 0x4000,
                "is_io": False,
                "is_64bit": True,
                "is_prefetchable": False,
            }
        ],
    }
    assert json.loads(json.dumps(info.as_dict())) == info.as_dict()
    assert info.address == PciAddress.parse("01:00.0")
    assert PciMatch(class_code=0x010802).matches(info)


def test_resources_of_all_kinds(tree):
    tree.add("0000:00:02.0", E1000E_RESOURCES)
    assert discover(sysfs=tree.root)[0].resources == (
        PciResource(0, 0xFEB8_0000, 0x2_0000),
        PciResource(1, 0xFEBA_0000, 0x2_0000),
        PciResource(2, 0xC000, 32, is_io=True),
        PciResource(3, 0xFEBC_0000, 0x4000, is_64bit=True, is_prefetchable=True),
        PciResource(6, 0xFEB0_0000, 0x4_0000, is_prefetchable=True),
    )


def test_resources_after_the_rom_are_left_out(tree):
    tree.add("0000:00:02.0", [EMPTY] * 7 + [NVME_RESOURCES[0]])
    assert discover(sysfs=tree.root)[0].resources == ()


def test_no_driver_group_or_node_is_none(tree):
    tree.add("0000:00:00.0")
    tree.add("0000:00:01.0", numa_node=None)
    for info in discover(sysfs=tree.root):
        assert (info.driver, info.iommu_group, info.numa_node) == (None, None, None)


def test_sorted_by_address(tree):
    for address in ("10000:00:00.0", "0000:0a:00.0", "0000:09:00.1"):
        tree.add(address)
    assert [str(info.address) for info in discover(sysfs=tree.root)] == [
        "0000:09:00.1",
        "0000:0a:00.0",
        "10000:00:00.0",
    ]


@pytest.mark.parametrize("lost", ["vendor", "subsystem_device", "resource"])
def test_a_function_that_disappears_meanwhile_is_left_out(tree, lost):
    tree.add("0000:00:01.0", **{lost: None})
    tree.add("0000:00:02.0")
    assert [str(info.address) for info in discover(sysfs=tree.root)] == ["0000:00:02.0"]


def test_no_pci_is_an_empty_list(tmp_path):
    assert discover(sysfs=tmp_path) == []
    assert discover(sysfs=tmp_path / "nothing") == []


def test_an_unknown_device_has_class_and_numbers_as_its_name(tree):
    tree.add(
        "0000:00:03.0", vendor="0x1234", device="0x11e8", driver="edu", **{"class": "0x00ff00"}
    )
    (info,) = discover(sysfs=tree.root)
    assert info.name == "unclassified device 1234:11e8"
    assert str(info) == "0000:00:03.0 unclassified device 1234:11e8 (driver edu)"


def test_text_of_resources():
    assert str(PciResource(0, 0, 0x4000)) == "BAR0 16K"
    assert str(PciResource(2, 0, 32, is_io=True)) == "BAR2 32 I/O"
    assert str(PciResource(6, 0, 0x4_0000)) == "ROM 256K"


def test_names_of_udev_s_database_come_first(tree, monkeypatch):
    path = tree.add("0000:01:00.0")
    properties = {
        "ID_VENDOR_FROM_DATABASE": "Red Hat",
        "ID_MODEL_FROM_DATABASE": "NVMe",
        "ID_PCI_SUBCLASS_FROM_DATABASE": "Non-Volatile memory controller",
    }
    device = SimpleNamespace(sys_path=str(path), properties=properties)
    context = SimpleNamespace(list_devices=lambda *, subsystem: [device])
    pyudev = pytest.importorskip("pyudev")
    monkeypatch.setattr(pyudev, "Context", lambda: context)
    monkeypatch.setattr(module, "_SYSFS", tree.root)
    (info,) = discover()
    assert (info.name, info.class_name) == ("Red Hat NVMe", "Non-Volatile memory controller")


def test_without_libudev_the_directory_is_read(tree, monkeypatch):
    def no_library():
        raise ImportError("No library named udev")

    tree.add("0000:01:00.0")
    pyudev = pytest.importorskip("pyudev")
    monkeypatch.setattr(pyudev, "Context", no_library)
    monkeypatch.setattr(module, "_SYSFS", tree.root)
    assert [str(info.address) for info in discover()] == ["0000:01:00.0"]


def test_pyudev_and_the_directory_show_the_same_functions():
    pytest.importorskip("pyudev")
    by_udev, by_directory = discover(), discover(sysfs="/sys")
    assert [info.address for info in by_udev] == [info.address for info in by_directory]
    assert [info.resources for info in by_udev] == [info.resources for info in by_directory]
