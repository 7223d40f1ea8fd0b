"""Device models of QEMU, on both machines, with the system's QEMU and a newer one."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import pytest

import pymmio
from pymmio.errors import (
    DeviceBusy,
    DeviceNotFound,
    DeviceTimeout,
    PymmioError,
    Unsupported,
    UriError,
)
from pymmio.pci.resets import ResetKind
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from tests.qemu.conftest import Open

pytestmark = pytest.mark.usefixtures("binary")

TIMEOUT_S = 30


@pytest.mark.parametrize(
    ("model", "identity"),
    [
        ("edu", (0x1234, 0x11E8)),
        ("pci-testdev,membar=64M", (0x1B36, 0x0005)),
        ("e1000", (0x8086, 0x100E)),
        ("e1000e", (0x8086, 0x10D3)),
        ("nvme,serial=x", (0x1B36, 0x0010)),
        ("virtio-rng-pci", (0x1AF4, None)),
        ("virtio-net-pci", (0x1AF4, None)),
        ("virtio-gpu-pci", (0x1AF4, 0x1050)),
        ("intel-hda", (0x8086, 0x2668)),
        ("qemu-xhci", (0x1B36, 0x000D)),
        ("ich9-ahci", (0x8086, 0x2922)),
        ("rtl8139", (0x10EC, 0x8139)),
        ("VGA", (0x1234, 0x1111)),
    ],
    ids=lambda value: value.partition(",")[0] if isinstance(value, str) else "",
)
def test_models_open_with_all_their_regions(
    opened: Open, machine: str, model: str, identity: tuple[int, int | None]
) -> None:
    device = opened(f"qemu:{model}?machine={machine}")
    assert device.config.vendor_id == identity[0]
    if identity[1] is not None:
        assert device.config.device_id == identity[1]
    bars = [info for info in device.regions.values() if info.index < 6]
    assert bars
    for info in bars:
        address = next(b.address for b in device.config.bars() if b.index == info.index)
        assert address % info.size == 0
        device.region(info.index)
    assert device.name == f"qemu:{model.partition(',')[0]}"


def test_pci_testdev_answers_by_memory_and_by_ports(opened: Open, machine: str) -> None:
    device = opened(f"qemu:pci-testdev?machine={machine}")
    for index in (0, 1):
        bar = device.region(index)
        bar.write8(0, 0)  # choose test 0; QEMU, docs/specs/pci-testdev.rst
        assert bar.read8(1) in (1, 2, 4)  # width that it wants
        name_at = 16
        name = bytes(bar.read8(name_at + i) for i in range(4))
        assert name.isascii()
        assert bar.read32(4) < 4096  # offset


def test_a_prefetchable_bar_lies_above_4_gib(opened: Open, machine: str) -> None:
    device = opened(f"qemu:pci-testdev,membar=1G?machine={machine}")
    assert device.regions[2].size == 1 << 30
    bar = device.region(2)
    assert device.config.bars()[2].address >= 1 << 32
    bar.read32(0)


@pytest.mark.parametrize("kind", ["msi", "intx"])
def test_edu_by_message_and_by_pin(opened: Open, machine: str, kind: str) -> None:
    device = opened(f"qemu:edu?machine={machine}")
    device.enable_bus_master()
    vector = getattr(device.irqs, kind)[0]
    bar = device.region(0)
    for number in range(1, 6):
        bar.write32(0x60, number)
        assert vector.wait(TIMEOUT_S) >= 1
        assert bar.read32(0x24) == number
        bar.write32(0x64, number)
        while vector.try_take():
            pass
    with pytest.raises(DeviceTimeout):
        vector.wait(0.01)


def test_a_pin_that_stays_asserted_fires_again_at_each_unmask(opened: Open, machine: str) -> None:
    device = opened(f"qemu:edu?machine={machine}")
    bar = device.region(0)
    bar.write32(0x60, 1)
    pin = device.irqs.intx[0]  # asserted before it was switched on
    for _ in range(3):
        assert pin.wait(TIMEOUT_S) == 1  # which unmasks it first
    bar.write32(0x64, 1)


def test_edu_computes_and_copies(machine: str) -> None:
    for by_interrupt in (False, True):
        with Edu.open(f"qemu:edu?machine={machine}") as edu, edu.alloc(1024) as memory:
            assert edu.factorial(12, by_interrupt=by_interrupt) == 479001600
            with memoryview(memory) as view:
                view[:] = bytes(range(256)) * 4
                edu.copy_in(memory, by_interrupt=by_interrupt)
                view[:] = bytes(1024)
                edu.copy_out(memory, by_interrupt=by_interrupt)
                assert bytes(view) == bytes(range(256)) * 4


@pytest.mark.parametrize("interrupts", ["msix", "intx", None])
def test_nvme_reads_what_it_wrote(disk: Path, nvme: str, machine: str, interrupts: str) -> None:
    data = os.urandom(256 << 10)
    with Controller.open(f"{nvme}&machine={machine}", interrupts=interrupts) as ctrl:
        space = ctrl.namespaces[1]
        assert space.block_count * space.block_size == 16 << 20
        with ctrl.alloc(len(data)) as buffer, memoryview(buffer) as view:
            view[:] = data
            space.write(buffer, lba=8)
            space.flush()
            view[:] = bytes(len(data))
            space.read(buffer, lba=8)
            assert bytes(view) == data
    at = 8 * space.block_size
    assert disk.read_bytes()[at : at + len(data)] == data


def test_many_msix_vectors_each_have_their_eventfd(nvme: str) -> None:
    with Controller.open(nvme, interrupts="msix", queues=8) as ctrl:
        space = ctrl.namespaces[1]
        assert len(ctrl.device.irqs.msix) > 8
        futures = [space.read_async(ctrl.alloc(4096), lba=index) for index in range(64)]
        for future in futures:
            future.result(TIMEOUT_S)


def test_qcow2_is_whole_after_close(tmp_path: Path) -> None:
    # An empty image: version 2, 64 KiB clusters, 1 MiB; made by hand, qemu-img may be missing.
    image = bytearray(4 * 65536)
    head = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, 1 << 20, 0, 1, 3 * 65536, 65536, 1, 0, 0
    )
    image[: len(head)] = head
    struct.pack_into(">Q", image, 65536, 2 * 65536)  # one block of reference counts
    struct.pack_into(">HHHH", image, 2 * 65536, 1, 1, 1, 1)
    path = tmp_path / "disk.qcow2"
    path.write_bytes(image)
    uri = f"qemu:nvme,serial=x?drive={path}&format=qcow2"
    with Controller.open(uri) as ctrl:
        with ctrl.alloc(4096) as buffer, memoryview(buffer) as view:
            view[:] = b"q" * 4096
            ctrl.namespaces[1].write(buffer, lba=0)
    with Controller.open(uri) as ctrl:
        assert ctrl.namespaces[1].read_bytes(lba=0, blocks=8) == b"q" * 4096


def test_the_iommu_keeps_the_device_from_memory_that_was_not_given(opened: Open) -> None:
    device = opened("qemu:edu")
    device.enable_bus_master()
    bar = device.region(0)
    space = device.dma
    victim = space.alloc(8192)
    iova = victim.iova
    handle = device.handle
    victim.close()

    def move(source: int, destination: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, destination), (0x90, 64), (0x98, command)):
            bar.write64(offset, value)
        bar.wait64(0x98, mask=1, value=0, timeout_s=TIMEOUT_S)

    ram = handle.dma._ram.view  # type: ignore[attr-defined]
    ram[iova : iova + 64] = b"secret.." * 8
    good = space.alloc(4096, address_bits=28)
    if good.iova == iova:  # an address that is free, then
        iova += 4096
        ram[iova : iova + 64] = b"secret.." * 8
    with memoryview(good) as view:
        view[:64] = b"\x11" * 64
        move(good.iova, 0x40000, 1)
        move(0x40000, iova, 3)  # writes nowhere
        assert bytes(ram[iova : iova + 64]) == b"secret.." * 8
        move(iova, 0x40000, 1)  # reads nothing
        move(0x40000, good.iova, 3)
        assert b"secret" not in bytes(view)


def test_nvme_reaches_no_memory_that_was_taken_away(nvme: str) -> None:
    """QEMU's model reports success all the same: its bounce buffer goes nowhere."""
    with Controller.open(nvme) as ctrl:
        space = ctrl.namespaces[1]
        buffer = ctrl.alloc(4096)
        dma = ctrl.device.handle.dma
        with memoryview(buffer) as view:
            view[:] = b"\x5a" * 4096
            space.write(buffer, lba=0)
            view[:] = bytes(4096)
            dma.unmap(buffer.iova, 4096)  # behind the driver's back
            try:
                with suppress(PymmioError):
                    space.read(buffer, lba=0)
                assert not any(view)
            finally:
                memory = buffer._allocation.memory
                where = {"address": memory.address, "fd": memory.fd, "fd_offset": memory.offset}
                dma.map(buffer.iova, 4096, **where)
            space.read(buffer, lba=0)
            assert bytes(view) == b"\x5a" * 4096


def test_reset_is_that_of_the_bus_and_works_for_all(opened: Open, machine: str) -> None:
    device = opened(f"qemu:virtio-rng-pci?machine={machine}")
    assert ResetKind.BUS in device.reset_methods()
    index, offset = _virtio_capability(device, 1)
    status = offset + 20  # device_status, virtio 1.2 §4.1.4.3
    bar = device.region(index)
    device.enable_bus_master()
    bar.write8(status, 3)
    assert bar.read8(status) == 3
    device.reset()
    assert bar.read8(status) == 0
    assert not device.config.command & 4
    assert device.config.command & 2


def test_virtio_pmem_lies_in_physical_memory(opened: Open, tmp_path: Path, machine: str) -> None:
    path = tmp_path / "pmem"
    device = opened(f"qemu:virtio-pmem-pci?memory={path}&size=64M&machine={machine}")
    found = _virtio_capability(device, 4)
    start, size = struct.unpack("<QQ", device.region(found[0]).read_block(found[1], 16, width=4))
    assert size == 64 << 20
    fd, offset = device.handle.physical_memory(start, size)  # type: ignore[attr-defined]
    os.pwrite(fd, b"persistent", offset + 4096)
    assert path.read_bytes()[4096:4106] == b"persistent"


def _virtio_capability(device: pymmio.Device, kind: int) -> tuple[int, int]:
    """Return BAR and offset of a structure of a virtio device (virtio 1.2 §4.1.4)."""
    for one in device.config.capabilities():
        if one.id == 9 and device.config.read8(one.offset + 3) == kind:
            return device.config.read8(one.offset + 4), device.config.read32(one.offset + 8)
    raise AssertionError(f"no structure of type {kind}")


def test_ivshmem_memory_is_mapped(opened: Open, tmp_path: Path, machine: str) -> None:
    path = tmp_path / "shared"
    path.write_bytes(bytes(1 << 20))
    device = opened(f"qemu:ivshmem-plain?memory={path}&machine={machine}")
    region = device.region(2)
    region.write32(0x100, 0x64636261)
    assert path.read_bytes()[0x100:0x104] == b"abcd"
    with region.view() as view:
        assert bytes(view[0x100:0x104]) == b"abcd"
    by_message = opened(f"qemu:ivshmem-plain?memory={path}", access="message")
    assert by_message.region(2).read32(0x100) == 0x64636261


def test_a_rom_is_read(opened: Open, tmp_path: Path) -> None:
    image = bytearray(2048)
    image[:4] = b"\x55\xaa\x04\xcb"
    image[0x18] = 0x1C  # the PCI data structure
    image[0x1C:0x34] = struct.pack(
        "<4sHHHHB3sHHBBH", b"PCIR", 0x8086, 0x10D3, 0, 24, 3, b"\0\0\2", 4, 1, 0, 0x80, 0
    )
    image[-1] = -sum(image) & 0xFF
    path = tmp_path / "rom"
    path.write_bytes(image)
    device = opened(f"qemu:e1000e,romfile={path}")
    assert device.regions[6].size == 2048
    rom = device.rom()
    assert len(rom.images) == 1


# --- what goes wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "kind", "said"),
    [
        ("qemu:no-such-device", DeviceNotFound, "not a valid device model name"),
        ("qemu:edu,colour=red", UriError, "colour"),
        ("qemu:nvme", UriError, "serial"),
        ("qemu:isa-serial", UriError, "can't go on PCI"),
        ("qemu:pcie-root-port", Unsupported, "bridge"),
        ("qemu:virtio-blk-pci?drive=/nowhere/disk.img", DeviceNotFound, "no such file"),
    ],
)
def test_qemus_own_words_are_in_the_exception(uri: str, kind: type[PymmioError], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        pymmio.open_device(uri)
    assert caught.value.hint


def test_a_disk_in_use_is_busy(nvme: str, opened: Open) -> None:
    opened(nvme)
    with pytest.raises(DeviceBusy, match="lock"):
        pymmio.open_device(nvme)


def test_two_devices_live_beside_each_other(opened: Open) -> None:
    first, second = opened("qemu:edu"), opened("qemu:edu")
    first.region(0).write32(4, 1)
    second.region(0).write32(4, 2)
    assert first.region(0).read32(4) == 0xFFFFFFFE
    assert second.region(0).read32(4) == 0xFFFFFFFD
    with pytest.raises(Unsupported, match="address space"):
        pymmio.open_device("qemu:edu", share_dma_with=first)
