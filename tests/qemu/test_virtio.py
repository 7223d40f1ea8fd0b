"""QEMU's own virtio devices judge the virtio core: split and packed, with all that rings have."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

import pytest

from pymmio.errors import DeviceGone, FeatureMissing, Unsupported
from pymmio.virtio import EVENT_IDX, INDIRECT_DESC, RING_PACKED, VirtioDevice
from pymmio_drivers.virtio_pmem import VirtioPmem
from pymmio_drivers.virtio_shm import VirtioSharedMemory

RINGS = {
    "split": (),
    "split-all": (EVENT_IDX, INDIRECT_DESC),
    "packed": (RING_PACKED,),
    "packed-all": (RING_PACKED, EVENT_IDX, INDIRECT_DESC),
}

# virtio 1.2 §5.2.6
BLK_IN, BLK_OUT, BLK_FLUSH, BLK_GET_ID = 0, 1, 4, 8
BLK_OK, BLK_UNSUPPORTED = 0, 2
SECTOR = 512


@pytest.fixture(params=RINGS)
def wanted(request: pytest.FixtureRequest):
    """Each ring format, plain and with all of its features."""
    return RINGS[request.param]


@pytest.mark.parametrize("interrupts", [True, False], ids=["msix", "polled"])
def test_rng_fills_buffers(binary: str, wanted, interrupts: bool) -> None:
    with VirtioDevice.open("qemu:virtio-rng-pci,packed=on", device_type=4) as device:
        device.start({0: 8}, wanted=wanted, interrupts=interrupts)
        queue = device.queues[0]
        buffer = device.dma.alloc(4096)
        for _ in range(30):  # around a ring of 8 several times
            sent = queue.submit((), [buffer[0:64], buffer[64:100], buffer[1000:1028]])
            assert queue.wait(sent, 10.0) == 128
        assert bytes(buffer)[:100] != bytes(100)
        assert bytes(buffer)[100:1000] == bytes(900)


class Blk:
    """As much of virtio-blk as judges queues."""

    def __init__(self, device: VirtioDevice) -> None:
        self.queue = device.queues[0]
        self.memory = device.dma.alloc(1 << 20)
        self.capacity = device.config.read64(0)

    def send(self, kind: int, sector: int, data: bytes = b"", size: int = 0, slot: int = 0):
        """Send a request in pieces of odd sizes; return its future and where things are."""
        at = slot * 65536
        header = self.memory[at : at + 16]
        memoryview(header)[:] = struct.pack("<IIQ", kind, 0, sector)
        length = len(data) or size
        pieces = [
            self.memory[at + 512 + a : at + 512 + min(a + 1000, length)]
            for a in range(0, length, 1000)
        ]
        if data:
            memoryview(self.memory)[at + 512 : at + 512 + length] = data
        status = self.memory[at + 65535 : at + 65536]
        memoryview(status)[0] = 0xFF
        readable = [header, *(pieces if data else [])]
        writable = [*([] if data else pieces), status]
        return self.queue.submit(readable, writable), at + 512, length, status

    def finish(self, sent) -> tuple[int, bytes]:
        """Return the status and what was read."""
        future, at, length, status = sent
        self.queue.wait(future, 10.0)
        return memoryview(status)[0], bytes(memoryview(self.memory)[at : at + length])

    def run(self, kind: int, sector: int, data: bytes = b"", size: int = 0) -> tuple[int, bytes]:
        return self.finish(self.send(kind, sector, data, size))


@pytest.mark.parametrize("interrupts", [True, False], ids=["msix", "polled"])
def test_blk_writes_and_reads(binary: str, wanted, interrupts: bool, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    uri = f"qemu:virtio-blk-pci,packed=on,num-queues=1,queue-size=64?drive={disk}&size=1M"
    with VirtioDevice.open(uri, device_type=2) as device:
        device.start({0: None}, wanted=wanted, interrupts=interrupts)
        blk = Blk(device)
        assert blk.capacity == (1 << 20) // SECTOR
        data = os.urandom(8 * SECTOR)
        assert blk.run(BLK_OUT, 5, data)[0] == BLK_OK
        assert blk.run(BLK_IN, 5, size=len(data)) == (BLK_OK, data)
        several = [blk.send(BLK_OUT, 100 + 4 * i, bytes([i]) * 2048, slot=i) for i in range(8)]
        assert [blk.finish(one)[0] for one in several] == [BLK_OK] * 8
        assert blk.run(BLK_FLUSH, 0)[0] == BLK_OK
        assert blk.run(0x777, 0)[0] == BLK_UNSUPPORTED
        assert blk.run(BLK_IN, 1 << 40, size=512)[0] != BLK_OK
    kept = disk.read_bytes()
    assert kept[5 * SECTOR : 13 * SECTOR] == data
    assert kept[100 * SECTOR : 132 * SECTOR] == b"".join(bytes([i]) * 2048 for i in range(8))


def test_an_iommu_asks_for_a_device_that_knows_it(binary: str) -> None:
    with VirtioDevice.open("qemu:virtio-rng-pci,iommu_platform=on") as device:
        device.start({0: None})
        assert 33 in list(device.features)
        buffer = device.dma.alloc(4096)
        sent = device.queues[0].submit((), [buffer[:64]])
        assert device.queues[0].wait(sent, 10.0) == 64


def test_a_legacy_device_is_refused(binary: str, machine: str) -> None:
    with pytest.raises((Unsupported, FeatureMissing), match=r"legacy.*disable-legacy=on"):
        VirtioDevice.open(
            f"qemu:virtio-rng-pci,disable-modern=on,disable-legacy=off?machine={machine}"
        )


def test_qemu_that_dies_ends_the_wait(binary: str) -> None:
    with VirtioDevice.open("qemu:virtio-rng-pci,max-bytes=1,period=100000") as device:
        device.start({0: None}, interrupts=False)
        buffer = device.dma.alloc(4096)
        first = device.queues[0].submit((), [buffer[:1]])
        device.queues[0].wait(first, 10.0)
        sent = device.queues[0].submit((), [buffer[:64]])  # not before the period is over
        handle = device._release.__self__.handle  # type: ignore[attr-defined]
        threading.Timer(0.1, lambda: os.kill(handle.process.pid, 9)).start()
        with pytest.raises(DeviceGone):
            device.queues[0].wait(sent, 10.0)


@pytest.mark.parametrize("interrupts", [None, False], ids=["msix", "polled"])
def test_pmem_is_in_the_file_after_a_flush(binary: str, interrupts, tmp_path: Path) -> None:
    file = tmp_path / "pmem"
    uri = f"qemu:virtio-pmem-pci?memory={file}&size=16M"
    with VirtioPmem.open(uri, interrupts=interrupts) as pmem:
        assert pmem.size == 16 << 20
        assert pmem.way.startswith("physical memory at")
        pmem.write(12345, b"persistent")
        for _ in range(20):
            pmem.flush()
        results = [pmem.flush_async() for _ in range(10)]
        assert [one.result(10.0) for one in results]
        pmem.reset()
        pmem.flush()
    assert file.read_bytes()[12345:12355] == b"persistent"
    with VirtioPmem.open(uri, interrupts=interrupts) as pmem:
        assert pmem.read(12345, 10) == b"persistent"


def test_gpu_shows_its_host_visible_memory(binary: str) -> None:
    if binary == "system":
        with VirtioSharedMemory.open("qemu:virtio-gpu-pci") as gpu:
            assert list(gpu.regions) == []
        return
    with VirtioSharedMemory.open("qemu:virtio-gpu-pci,hostmem=64M") as gpu:
        assert [(one.id, one.size) for one in gpu.regions] == [(1, 64 << 20)]
        assert gpu.purpose(1) == "host visible"
        memory = gpu.map(1)
        assert memory.size == 64 << 20
        assert not memory.is_dereferenceable
        memory.read_into(0, bytearray(64))
