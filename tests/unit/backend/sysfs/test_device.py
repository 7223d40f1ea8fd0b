"""Devices by the files of sysfs: what is offered, what is refused, what is left behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pymmio.backend.sysfs.device import SysfsDevice
from pymmio.backend.sysfs.opening import open as open_sysfs
from pymmio.backend.sysfs.opening import open_function
from pymmio.device import Device
from pymmio.errors import (
    AccessFault,
    DeviceBusy,
    DeviceGone,
    DeviceNotFound,
    ForkedObject,
    Misaligned,
    PermissionRefused,
    ReadOnly,
    Unsupported,
    UriError,
    WidthRefused,
)
from pymmio.handle import CONFIG_REGION, Access, Iova, IrqKind
from pymmio.pci import PciAddress
from pymmio.uri import DeviceUri
from tests.children import in_forked_child
from tests.unit.backend.sysfs.fake_tree import (
    DENIED,
    EDU,
    MEMORY,
    PORTS,
    PREFETCHABLE,
    FakeTree,
)

COMMAND = 0x04  # PCI Local Bus 3.0 §6.2.2


def opened(tree: FakeTree, *, config_only: bool = False, force: bool = False) -> SysfsDevice:
    return open_function(tree, PciAddress.parse(EDU), config_only=config_only, force=force)


@contextmanager
def device_of(tree: FakeTree, **options: bool) -> Iterator[Device]:
    with Device(DeviceUri("sysfs", EDU), opened(tree, **options)) as device:
        yield device


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


# --- opening ---------------------------------------------------------------------------------


def test_a_device_that_does_not_exist_is_not_found(tree: FakeTree) -> None:
    with pytest.raises(DeviceNotFound, match=r"0000:02:00\.0"):
        opened(tree)


def test_the_uri_is_checked() -> None:
    for uri, text in (
        ("sysfs:0000:01:00.0?wc=x", "numbers of BARs"),
        ("sysfs:0000:01:00.0?wc=6", "numbers of BARs"),
        ("sysfs:0000:01:00.0?force=perhaps", "perhaps"),
        ("sysfs:0000:01:00.0?interface=group", "no option 'interface'"),
        ("sysfs:edu", "edu"),
    ):
        with pytest.raises(UriError, match=text):
            open_sysfs(DeviceUri.parse(uri))


def test_a_device_that_a_driver_uses_is_refused_by_the_driver_s_name(tree: FakeTree) -> None:
    tree.add(driver="nvme")
    before = descriptors()
    with pytest.raises(DeviceBusy, match="the kernel's driver nvme") as caught:
        opened(tree)
    assert "?config" in str(caught.value.hint)
    assert "?force" in str(caught.value.hint)
    assert descriptors() == before
    assert tree.writes == []


def test_a_device_that_vfio_has_is_opened_otherwise(tree: FakeTree) -> None:
    tree.add(driver="vfio-pci")
    with pytest.raises(DeviceBusy, match=r"Open it as vfio:0000:02:00\.0"):
        opened(tree)


def test_pci_stub_uses_nothing(tree: FakeTree) -> None:
    tree.add(driver="pci-stub")
    with device_of(tree) as device:
        assert 0 in device.regions


def test_force_opens_a_device_that_a_driver_uses_and_leaves_its_command_alone(
    tree: FakeTree,
) -> None:
    path = tree.add(driver="nvme")
    config = tree.place(f"{path}/config")
    data = bytearray(config.read_bytes())
    data[COMMAND] = 0x06  # memory and bus mastering are on, by the driver
    config.write_bytes(data)
    with device_of(tree, force=True) as device:
        assert 0 in device.regions
    assert config.read_bytes()[COMMAND] == 0x06
    assert tree.writes == []  # not enabled, not disabled: that is the driver's


def test_config_alone_is_for_looking_whoever_uses_the_device(tree: FakeTree) -> None:
    tree.add(driver="nvme")
    with device_of(tree, config_only=True) as device:
        assert set(device.regions) == {CONFIG_REGION}
        assert device.config.ids.vendor_id == 0x1234
        with pytest.raises(ReadOnly):
            device.config.write16(COMMAND, 7)
        with pytest.raises(Unsupported, match="looking only"):
            device.reset()
    assert tree.writes == []


def test_opening_enables_the_function_and_closing_takes_it_back(tree: FakeTree) -> None:
    path = tree.add()
    with device_of(tree) as device:
        assert tree.writes == [("enable", "1")]
        assert device.config.command & 2  # memory decoding
    assert tree.writes == [("enable", "1"), ("enable", "0")]
    assert not tree.place(f"{path}/config").read_bytes()[COMMAND] & 4


def test_a_function_that_is_enabled_stays_so(tree: FakeTree) -> None:
    path = tree.add()
    tree.text(f"{path}/enable", "2\n")
    with device_of(tree):
        pass
    assert tree.writes == []


@pytest.mark.parametrize("number", DENIED)
def test_a_user_who_may_not_enable_goes_by_command_alone(tree: FakeTree, number: int) -> None:
    tree.add()
    tree.refuse["enable"] = number
    with device_of(tree) as device:
        assert device.config.command & 2
    assert tree.writes == [("enable", "1")]


def test_enabling_that_fails_is_raised_and_nothing_is_left_open(tree: FakeTree) -> None:
    tree.add()
    tree.refuse["enable"] = errno.EINVAL
    before = descriptors()
    with pytest.raises(Unsupported, match="EINVAL"):
        opened(tree)
    assert descriptors() == before


@pytest.mark.parametrize("number", DENIED)
def test_configuration_space_that_may_not_be_opened_is_explained(
    tree: FakeTree, number: int
) -> None:
    tree.add()
    tree.refuse["config"] = number
    with pytest.raises(PermissionRefused, match=errno.errorcode[number]):
        opened(tree)


def test_a_kernel_that_is_locked_down_says_so(tree: FakeTree) -> None:
    tree.add()
    tree.text("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    tree.refuse["config"] = errno.EPERM
    with pytest.raises(PermissionRefused, match=r"locked down \(integrity\)"):
        opened(tree)


def test_a_device_has_one_user_besides_those_who_only_look(tree: FakeTree) -> None:
    tree.add()
    with device_of(tree):
        before = descriptors()
        with pytest.raises(DeviceBusy, match="open already"):
            opened(tree)
        with pytest.raises(DeviceBusy, match="open already"):
            opened(tree, force=True)
        assert descriptors() == before
        opened(tree, config_only=True).close()
    assert tree.writes == [("enable", "1"), ("enable", "0")]
    opened(tree).close()


def test_a_bar_that_this_user_was_not_given_is_refused_when_it_is_asked_for(
    tree: FakeTree,
) -> None:
    tree.add(bars={0: (0xFE00_0000, 0x4000, MEMORY), 2: (0xC000, 0x20, PORTS)})
    tree.refuse["resource0"] = errno.EACCES
    with device_of(tree) as device:
        device.config.update_command(on=1)
        assert device.region(2).read8(0) == 0
        with pytest.raises(PermissionRefused, match="resource0"):
            device.region(0)


def test_a_region_that_is_refused_leaves_nothing(tree: FakeTree) -> None:
    tree.add()
    with Device(DeviceUri("sysfs", EDU), opened(tree), access=Access.PREAD) as device:
        before = descriptors()
        with pytest.raises(Unsupported, match="access='pread'"):
            device.region(0)
        assert descriptors() == before
        with open("/proc/self/maps", encoding="ascii") as maps:
            assert not any(str(tree.root) in line for line in maps)


def test_closing_leaves_nothing_behind(tree: FakeTree) -> None:
    tree.add(bars={0: (0xFE00_0000, 0x4000, MEMORY), 2: (0xC000, 0x20, PORTS)})
    before = descriptors()
    with device_of(tree) as device:
        device.config.update_command(on=1)
        device.region(2).read8(0)
        device.region(0).read32(0)
    device.handle.close()
    assert descriptors() == before
    with open("/proc/self/maps", encoding="ascii") as maps:
        assert not any(str(tree.root) in line for line in maps)


# --- regions ---------------------------------------------------------------------------------


def test_the_regions_are_the_bars_that_have_files(tree: FakeTree) -> None:
    path = tree.add(
        bars={
            0: (0xFE00_0000, 0x4000, MEMORY),
            1: (0, 0x1000, MEMORY),
            2: (0xC000, 0x20, PORTS),
            4: (0x40_0000_0000, 0x1_0000, PREFETCHABLE),
        },
        config_size=256,
    )
    tree.place(f"{path}/resource1").unlink()
    infos = {info.index: info for info in opened(tree).region_infos()}
    assert {index: info.size for index, info in infos.items()} == {
        0: 0x4000,
        2: 0x20,
        4: 0x1_0000,
        7: 256,
    }
    assert infos[0].mappable
    assert not infos[2].mappable


def test_memory_is_mapped(tree: FakeTree) -> None:
    path = tree.add()
    with device_of(tree) as device:
        bar = device.region(0)
        assert bar.access is Access.MAPPED
        assert bar.size == 0x4000
        bar.write32(0x3FFC, 0x1234_5678)
        assert device.handle.open_region(0).read(0x3FFC, 4) == 0x1234_5678
        device.handle.open_region(0).write(8, 4, 0xAABB_CCDD)
        assert bar.read32(8) == 0xAABB_CCDD
    data = tree.place(f"{path}/resource0").read_bytes()
    assert data[0x3FFC:0x4000] == b"\x78\x56\x34\x12"


def test_a_bar_inside_a_page_is_where_it_starts_and_nothing_beside_it_can_be_reached(
    tree: FakeTree,
) -> None:
    path = tree.add(bars={0: (0xFE00_1800, 0x10, MEMORY)})
    file = tree.place(f"{path}/resource0")
    data = bytearray(file.read_bytes())
    data[0x800:0x804] = b"\x01\x02\x03\x04"
    file.write_bytes(data)
    with device_of(tree) as device:
        bar = device.region(0)
        assert (bar.access, bar.size) == (Access.MAPPED, 0x10)
        assert bar.read32(0) == 0x0403_0201
        with pytest.raises(IndexError):
            bar.read32(0x10)
        bar.write8(0xF, 0x55)
    assert file.read_bytes()[0x80F] == 0x55


def test_a_write_combined_mapping_is_asked_for_by_number(tree: FakeTree) -> None:
    path = tree.add(
        bars={0: (0xFE00_0000, 0x1000, MEMORY), 2: (0x40_0000_0000, 0x1000, PREFETCHABLE)}
    )
    address = PciAddress.parse(EDU)
    with pytest.raises(Unsupported, match=r"BARs that can: 2"):
        open_function(tree, address, write_combined=[0])
    handle = open_function(tree, address, write_combined=[2])
    with Device(DeviceUri("sysfs", EDU), handle) as device:
        device.region(2).write32(0, 7)
    assert tree.place(f"{path}/resource2_wc").read_bytes()[0] == 7
    assert tree.place(f"{path}/resource2").read_bytes()[0] == 0


def test_ports_are_read_and_written_by_calls(tree: FakeTree) -> None:
    path = tree.add(bars={1: (0xC000, 0x20, PORTS)})
    with device_of(tree) as device:
        ports = device.region(1)
        assert ports.access is Access.PREAD
        ports.write16(4, 0x1234)
        assert tree.place(f"{path}/resource1").read_bytes()[4:6] == b"\x34\x12"
        assert ports.read8(5) == 0x12
        with pytest.raises(WidthRefused, match="at most 4"):
            ports.read64(0)
        doorbell = ports.doorbell(8)
        doorbell.ring(9)
        assert doorbell.way == "syscall"
        assert ports.read32(8) == 9
        device.config.update_command(off=1)
        with pytest.raises(AccessFault, match="I/O decoding is off"):
            ports.read8(0)


def test_configuration_space_takes_aligned_accesses_of_up_to_4_bytes(tree: FakeTree) -> None:
    tree.add()
    config = opened(tree).open_region(CONFIG_REGION)
    assert config.read(0, 4) == 0x11E8_1234
    with pytest.raises(Misaligned):
        config.read(2, 4)
    with pytest.raises(WidthRefused):
        config.read(0, 8)


def test_configuration_space_that_is_not_for_everybody_is_a_matter_of_rights(
    tree: FakeTree,
) -> None:
    path = tree.add()
    handle = opened(tree)
    os.truncate(tree.place(f"{path}/config"), 64)
    config = handle.open_region(CONFIG_REGION)
    assert config.read(0, 2) == 0x1234
    with pytest.raises(PermissionRefused, match="first 64 bytes"):
        config.read(0x100, 4)
    handle.close()


def test_a_region_that_is_not_there_is_named(tree: FakeTree) -> None:
    tree.add()
    with pytest.raises(DeviceNotFound, match="It has 0"):
        opened(tree).open_region(3)


@pytest.mark.parametrize(
    ("error", "lockdown", "raised", "text"),
    [
        (Unsupported, None, Unsupported, "CONFIG_IO_STRICT_DEVMEM"),
        (PermissionRefused, None, PermissionRefused, "security module"),
        (PermissionRefused, "[confidentiality]", PermissionRefused, "locked down"),
    ],
)
def test_memory_that_may_not_be_mapped_is_explained(
    tree: FakeTree,
    error: type[Exception],
    lockdown: str | None,
    raised: type[Exception],
    text: str,
) -> None:
    tree.add()
    tree.mapping_error.append(error)
    if lockdown:
        tree.text("/sys/kernel/security/lockdown", f"none integrity {lockdown}\n")
    before = descriptors()
    with device_of(tree) as device, pytest.raises(raised, match=text):
        device.region(0)
    assert descriptors() == before


# --- what sysfs does not offer -----------------------------------------------------------------


def test_there_is_no_dma_and_it_says_so(tree: FakeTree) -> None:
    tree.add()
    with device_of(tree) as device:
        assert not device.dma.is_usable
        for use in (lambda: device.dma.alloc(4096), device.enable_bus_master):
            with pytest.raises(Unsupported, match=r"no DMA memory.*vfio:0000:02:00\.0"):
                use()
        with pytest.raises(Unsupported, match="no DMA memory"):
            device.handle.dma.map(Iova(0x1000), 4096, address=0, fd=-1, fd_offset=0)
        assert not device.config.command & 4


def test_there_are_no_interrupts_and_it_says_so(tree: FakeTree) -> None:
    tree.add()
    with device_of(tree) as device:
        assert [device.handle.irq.count(kind) for kind in IrqKind] == [0] * len(IrqKind)
        with pytest.raises(Unsupported, match="poll its registers"):
            device.irqs.msix[0]
        with pytest.raises(Unsupported, match="Poll the device's registers"):
            device.handle.irq.enable(IrqKind.MSI, [3])
        with pytest.raises(Unsupported):
            device.handle.irq.unmask_intx()
        device.handle.irq.disable(IrqKind.MSI)


# --- reset, removal, fork ----------------------------------------------------------------------


def test_reset_writes_to_the_file(tree: FakeTree) -> None:
    tree.add()
    with device_of(tree) as device:
        device.reset()
        assert ("reset", "1") in tree.writes
        assert device.config.command & 2


def test_without_a_file_reset_is_refused_with_what_was_looked_at(tree: FakeTree) -> None:
    tree.add(reset=False)
    with device_of(tree) as device:
        with pytest.raises(Unsupported, match="no PCI Express capability"):
            device.reset()
        assert len(device.reset_methods()) == 0


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (errno.EAGAIN, DeviceBusy),
        (errno.EPERM, PermissionRefused),
        (errno.ENOTTY, Unsupported),
        (errno.ENODEV, DeviceGone),
    ],
)
def test_reset_that_fails_is_explained(
    tree: FakeTree, number: int, raised: type[Exception]
) -> None:
    tree.add()
    tree.refuse["reset"] = number
    with device_of(tree) as device, pytest.raises(raised):
        device.reset()


def test_a_device_that_left_is_gone(tree: FakeTree) -> None:
    path = tree.add()
    handle = opened(tree)
    assert not handle.is_gone()
    tree.place(path).rename(tree.place(path).with_name("elsewhere"))
    assert handle.is_gone()
    with pytest.raises(DeviceGone):
        handle.reset()
    handle.close()


def test_a_device_that_answers_ones_is_gone(tree: FakeTree) -> None:
    path = tree.add()
    handle = opened(tree)
    tree.place(f"{path}/config").write_bytes(b"\xff" * 4096)
    assert handle.is_gone()
    handle.close()


def test_a_child_has_nothing_of_it(tree: FakeTree) -> None:
    tree.add(bars={1: (0xC000, 0x20, PORTS)})
    handle = opened(tree)
    ports = handle.open_region(1)

    def child() -> None:
        for region in (ports, handle.open_region(CONFIG_REGION)):
            with pytest.raises(ForkedObject):
                region.read(0, 1)
        handle.close()

    in_forked_child(child)
    assert tree.writes == [("enable", "1")]
    assert handle.open_region(CONFIG_REGION).read(0, 2) == 0x1234
    handle.close()
