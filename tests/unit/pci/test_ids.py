from __future__ import annotations

import gzip

import pytest

from pymmio.pci import PciIds, PciNames
from pymmio.pci.ids import PCI_IDS_PATHS

# In the format of pci.ids, with lines that a damaged file could have.
SAMPLE = """\
#
#	List of PCI ID's
#

1b36  Red Hat, Inc.
	0001  QEMU PCI-PCI bridge
	0010  QEMU NVM Express Controller
		1af4 1100  QEMU Virtual Machine
	000d
zzzz  No vendor
	0001  Nobody's device
8086  Intel Corporation
	10d3  82574L Gigabit Network Connection
			what is this
C 01  Mass storage controller
	08  Non-Volatile memory controller
		02  NVM Express
C 02  Network controller
L 01  Something else
	08  That must not land among the classes
"""


@pytest.fixture
def names():
    return PciNames.parse(SAMPLE.split("\n"))


def test_vendors_devices_and_subsystems(names):
    assert names.vendor(0x1B36) == "Red Hat, Inc."
    assert names.device(0x1B36, 0x0010) == "QEMU NVM Express Controller"
    assert names.subsystem(0x1B36, 0x0010, 0x1AF4, 0x1100) == "QEMU Virtual Machine"
    assert names.device(0x8086, 0x10D3) == "82574L Gigabit Network Connection"


def test_what_is_not_in_the_file_is_none(names):
    assert names.vendor(0x1234) is None
    assert names.device(0x1B36, 0x10D3) is None
    assert names.subsystem(0x1B36, 0x0010, 0x1AF4, 0x1101) is None


def test_damaged_lines_name_nothing(names):
    assert sorted(names.ids) == [
        (0x1B36,),
        (0x1B36, 0x0001),
        (0x1B36, 0x0010),
        (0x1B36, 0x0010, 0x1AF4, 0x1100),
        (0x8086,),
        (0x8086, 0x10D3),
    ]
    assert sorted(names.classes) == [(1,), (1, 8), (1, 8, 2), (2,)]


def test_class_names_by_subclass_then_base_class(names):
    assert names.class_name(0x010802) == "Non-Volatile memory controller"
    assert names.class_name(0x010400) == "Mass storage controller"
    assert names.class_name(0x0C0330) == "USB controller"  # not in the file
    assert names.class_name(0x770000) == "class 770000"


def test_describe_says_what_it_can(names):
    assert names.describe(PciIds(0x1B36, 0x0010, 0x010802)) == (
        "Red Hat, Inc. QEMU NVM Express Controller"
    )
    assert names.describe(PciIds(0x8086, 0xABCD, 0x020000)) == (
        "Intel Corporation Network controller 8086:abcd"
    )
    assert names.describe(PciIds(0x1234, 0x11E8, 0x00FF00)) == "unclassified device 1234:11e8"


def test_load_takes_the_first_file_that_can_be_read(tmp_path):
    missing, plain, other = (tmp_path / name for name in ("missing", "pci.ids", "other"))
    plain.write_text(SAMPLE)
    other.write_text("1b36  Somebody else\n")
    assert PciNames.load([missing, plain, other]).vendor(0x1B36) == "Red Hat, Inc."


def test_load_reads_gzip(tmp_path):
    packed = tmp_path / "pci.ids.gz"
    packed.write_bytes(gzip.compress(SAMPLE.encode()))
    assert PciNames.load([packed]).vendor(0x8086) == "Intel Corporation"


@pytest.mark.parametrize(
    "damage",
    [b"", b"no gzip", gzip.compress(b"x" * 1000)[:-20]],
    ids=["empty", "no gzip", "cut off"],
)
def test_a_damaged_file_is_passed_over(tmp_path, damage):
    packed, plain = tmp_path / "pci.ids.gz", tmp_path / "pci.ids"
    packed.write_bytes(damage)
    plain.write_text(SAMPLE)
    assert PciNames.load([packed, plain]).vendor(0x8086) == "Intel Corporation"


def test_bytes_that_are_no_utf_8_do_not_hide_the_rest(tmp_path):
    plain = tmp_path / "pci.ids"
    plain.write_bytes(b"0001  \xff\xfe\n" + SAMPLE.encode())
    assert PciNames.load([plain]).vendor(0x8086) == "Intel Corporation"


def test_without_a_file_there_are_no_names_but_classes(tmp_path):
    names = PciNames.load([tmp_path / "pci.ids"])
    assert names.vendor(0x8086) is None
    assert names.class_name(0x010802) == "non-volatile memory controller"


def test_usual_places_are_searched():
    places = {str(path) for path in PCI_IDS_PATHS}
    for directory in ("misc", "hwdata"):
        assert f"/usr/share/{directory}/pci.ids" in places
        assert f"/usr/share/{directory}/pci.ids.gz" in places
