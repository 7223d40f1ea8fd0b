"""Ranges of /dev/mem: what is refused, by whose name, and what is mapped."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pymmio.backend.sysfs.devmem import look_at_physical, open_physical
from pymmio.backend.sysfs.machine import Machine
from pymmio.errors import (
    BadArgument,
    BufferBusy,
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PolicyRefused,
    PymmioError,
    Unsupported,
)
from pymmio.mmio import AccessRule
from pymmio.policy import set_policy
from pymmio.uri import DeviceUri
from tests.unit.backend.sysfs.fake_tree import FakeTree
from tests.unit.backend.sysfs.iomems import GUEST, HIDDEN

PMEM = 0x1_8000_0000
BAR, BAR_FUNCTION = 0xFE80_0000, "0000:00:03.0"


@pytest.fixture
def guest(tree: FakeTree) -> FakeTree:
    """A machine whose /dev/mem is a sparse file."""
    tree.text("/proc/iomem", GUEST)
    tree.text("/dev/mem", "")
    os.truncate(tree.place("/dev/mem"), 1 << 34)
    return tree


def mappings(tree: FakeTree) -> int:
    with open("/proc/self/maps", encoding="ascii") as maps:
        return sum(str(tree.root) in line for line in maps)


@pytest.mark.parametrize(
    ("start", "size", "text"),
    [
        (0x10_0000, 0x1000, "System RAM at 0x100000-0x100fff is the kernel's"),
        (0x3FFD_F000, 0x2000, "System RAM at 0x3ffdf000-0x3ffdffff"),
        (0xFE00_0000, 0x1000, "nvme has 0xfe000000-0xfe000fff, in a BAR of 0000:01:00.0"),
        (0xFED0_0000, 0x100, "HPET 0 has"),
        (0xF_0000, 0x1000, "Reserved has"),
        (0x1_4000_0000, 0x1000, "namespace0.0 has"),
        (0x2_0000_0000, 0x1000, "dax0.0 has"),
    ],
)
def test_what_somebody_has_is_refused_by_name(
    guest: FakeTree, start: int, size: int, text: str
) -> None:
    before = os.listdir("/proc/self/fd")
    for unlisted in (False, True):
        with pytest.raises(DeviceBusy, match=text):
            open_physical(start, size, unlisted=unlisted, machine=guest)
    assert os.listdir("/proc/self/fd") == before
    assert mappings(guest) == 0


def test_every_owner_of_a_range_is_named(guest: FakeTree) -> None:
    with pytest.raises(DeviceBusy, match=r"nvme has .*; ahci has "):
        open_physical(0xFE00_0000, 0xFEB8_1000 - 0xFE00_0000, machine=guest)


@pytest.mark.parametrize("start", [0x1_0000_0000, 0xFE00_4000], ids=["unlisted", "bus window"])
def test_what_nobody_names_is_opened_only_by_who_knows_what_is_there(
    guest: FakeTree, start: int
) -> None:
    with pytest.raises(DeviceNotFound, match="unlisted=True"):
        open_physical(start, 0x1000, machine=guest)
    with open_physical(start, 0x1000, unlisted=True, machine=guest) as memory:
        memory.region.write32(0, 1)


def test_a_free_bar_is_device_memory(guest: FakeTree) -> None:
    with open_physical(BAR, 0x1000, machine=guest) as memory:
        memory.region.write32(0x10, 0x1234_5678)
        assert memory.region.read32(0x10) == 0x1234_5678
        with pytest.raises(Unsupported):
            memory.region.view()
        assert mappings(guest) == 1
        assert "uncached" in repr(memory)
    assert memory.closed
    assert mappings(guest) == 0


def test_a_bar_whose_function_has_a_driver_that_left_no_line_is_refused(guest: FakeTree) -> None:
    guest.add(BAR_FUNCTION)
    guest.bind(BAR_FUNCTION, "snd_hda")
    with pytest.raises(DeviceBusy, match=r"the driver snd_hda has 0000:00:03\.0"):
        open_physical(BAR, 0x1000, machine=guest)


def test_pci_memory_without_addresses_is_refused(guest: FakeTree) -> None:
    machine = FakeTree(guest.root, has_pci_addresses=False)
    with pytest.raises(Unsupported, match="s390x"):
        open_physical(BAR, 0x1000, machine=machine)
    open_physical(PMEM, 0x1000, machine=machine).close()


def test_persistent_memory_that_nobody_has_is_plain_memory(guest: FakeTree) -> None:
    with open_physical(PMEM + 0x800, 0x1000, cached=True, machine=guest) as memory:
        view = memory.region.view()
        view[:5] = b"hello"
        with pytest.raises(BufferBusy):
            memory.close()
        view.release()
    with guest.place("/dev/mem").open("rb") as file:
        file.seek(PMEM + 0x800)
        assert file.read(5) == b"hello"


def test_read_only_is_read_only(guest: FakeTree) -> None:
    with open_physical(PMEM, 0x1000, writable=False, machine=guest) as memory:
        assert memory.region.read8(0) == 0
        with pytest.raises(PermissionError):
            memory.region.write8(0, 1)


def test_uncached_is_asked_of_the_kernel_by_o_sync(guest: FakeTree) -> None:
    flags: list[int] = []

    class Watching(Machine):
        def open(self, path: str, given: int) -> int:
            flags.append(given)
            return super().open(path, given)

    machine = Watching(guest.root)
    open_physical(PMEM, 16, machine=machine).close()
    open_physical(PMEM, 16, cached=True, machine=machine).close()
    assert [bool(given & os.O_DSYNC) for given in flags] == [True, False]


def test_who_comes_later_is_noticed(guest: FakeTree) -> None:
    taken = GUEST + "300000000-30fffffff : Persistent Memory\n"
    guest.text("/proc/iomem", taken)
    with open_physical(0x3_0000_0000, 0x1000, machine=guest) as memory:
        memory.check_unowned()
        guest.text("/proc/iomem", taken + "  300000000-30fffffff : namespace1.0\n")
        with pytest.raises(DeviceBusy, match=r"namespace1\.0"):
            memory.check_unowned()


def test_who_comes_while_it_is_mapped_gets_it(guest: FakeTree) -> None:
    class Late(Machine):
        looks = 0

        def read_text(self, path: str) -> str:
            Late.looks += 1
            late = "  180000000-187ffffff : namespace1.0\n"
            line = "180000000-187ffffff : Persistent Memory (legacy)\n"
            return GUEST if Late.looks == 1 else GUEST.replace(line, line + late)

    with pytest.raises(DeviceBusy, match=r"namespace1\.0"):
        open_physical(PMEM, 0x1000, machine=Late(guest.root))
    assert mappings(guest) == 0


def test_hidden_addresses_are_refused_before_anything_is_opened(guest: FakeTree) -> None:
    guest.text("/proc/iomem", HIDDEN)
    guest.place("/dev/mem").unlink()
    with pytest.raises(PermissionRefused, match="CAP_SYS_ADMIN"):
        open_physical(PMEM, 0x1000, unlisted=True, machine=guest)


def test_a_machine_without_procfs_is_refused(tree: FakeTree) -> None:
    with pytest.raises(PermissionRefused, match="not known"):
        look_at_physical(PMEM, 1, machine=tree)


@pytest.mark.parametrize(
    ("number", "lockdown", "raised", "text"),
    [
        (errno.EPERM, "", PermissionRefused, "CAP_SYS_RAWIO"),
        (errno.EACCES, "", PermissionRefused, "CAP_SYS_RAWIO"),
        (errno.EPERM, "none [integrity]", PermissionRefused, "locked down"),
        (errno.ENOENT, "", Unsupported, "CONFIG_DEVMEM"),
    ],
)
def test_a_dev_mem_that_cannot_be_opened_is_explained(
    guest: FakeTree, number: int, lockdown: str, raised: type[PymmioError], text: str
) -> None:
    guest.refuse["mem"] = number
    guest.text("/sys/kernel/security/lockdown", lockdown)
    with pytest.raises(raised, match=text):
        open_physical(PMEM, 0x1000, machine=guest)


@pytest.mark.parametrize(
    ("error", "text"), [(PermissionRefused, "CONFIG_STRICT_DEVMEM"), (Unsupported, "conflicting")]
)
def test_a_range_that_the_kernel_does_not_map_is_explained(
    guest: FakeTree, error: type[PymmioError], text: str
) -> None:
    guest.mapping_error.append(error)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(error, match=text):
        open_physical(PMEM, 0x1000, machine=guest)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(("start", "size"), [(0, 0), (-1, 1), (1 << 63, 1), (0, -5)])
def test_no_addresses_are_refused(start: int, size: int) -> None:
    with pytest.raises(BadArgument):
        open_physical(start, size)


def test_plain_bytes_of_an_uncached_range_are_refused() -> None:
    with pytest.raises(BadArgument, match="cached=True"):
        open_physical(PMEM, 16, rule=AccessRule(ram_like=True))


def test_the_policy_is_asked_first(tmp_path: Path) -> None:
    asked: list[DeviceUri] = []

    def policy(uri: DeviceUri) -> None:
        asked.append(uri)
        raise PolicyRefused("no")

    set_policy(policy)
    try:
        with pytest.raises(PolicyRefused):
            open_physical(0x1000, 0x2000, machine=Machine(tmp_path))
    finally:
        set_policy(None)
    assert [str(uri) for uri in asked] == ["devmem:0x1000+0x2000"]
