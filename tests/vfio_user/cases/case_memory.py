"""Persistent and shared memory: Linux's drivers and pymmio's on the same devices, both ways.

Two virtio-pmem devices: QEMU's own, whose memory no BAR leads to, and pymmio's model behind
QEMU's vfio-user client, whose memory is a shared-memory region.  What is durable is looked up in
the files on the host.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pymmio.dax import DaxDevice, PlainMemory
from pymmio.errors import MediaError, Unsupported
from pymmio.virtio import EVENT_IDX, INDIRECT_DESC, RING_PACKED, VirtioDevice
from pymmio_drivers.virtio_pmem import VirtioPmem
from pymmio_drivers.virtio_shm import VirtioSharedMemory
from tests.guest.case import case
from tests.guest.inside import Function, bind_vfio, find_functions, give_back, wait_until
from tests.guest.interfaces import by_interface, uri_of
from tests.vfio_user.asking import ask
from tests.vfio_user.cases import disk

GUEST = ("memory",)
MIB = 1 << 20
SIZE = 16 * MIB
VIRTIO = 0x1AF4
PMEM, RNG, GPU, SHM = 0x105B, 0x1044, 0x1050, 0x1040 + 42
Error = TypeVar("Error", bound=Exception)
FILES = {"qemu": "qemu-pmem", "served": "served-pmem"}
MADV_HWPOISON = 100  # Linux include/uapi/asm-generic/mman-common.h


def function_of(which: str) -> Function:
    """Return one of the two persistent memories: QEMU's stands before the served one."""
    first, second = find_functions((VIRTIO, PMEM))
    return first if which == "qemu" else second


@contextmanager
def by_vfio(function: Function) -> Iterator[Function]:
    """Bind a function to vfio-pci for the block, then give it back to Linux's driver."""
    try:
        bind_vfio(function)
        yield function
    finally:
        give_back(function)


def node_of(function: Function) -> Path:
    """Return Linux's block device on a virtio-pmem device, when it can be opened."""

    def opens() -> Path | None:
        for path in function.path.glob("virtio*/ndbus*/region*/*/block/pmem*"):
            try:
                os.close(os.open(f"/dev/{path.name}", os.O_RDONLY))
            except OSError:  # the node outlives the former disk for a moment
                continue
            return Path("/dev") / path.name
        return None

    wait_until(opens, 20.0, "/dev/pmem to appear")
    found = opens()
    assert found is not None
    return found


def raises(kind: type[Error], call: Callable[[], object]) -> Error:
    """Return the exception of this kind that ``call`` raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pattern(seed: int, size: int) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4, "little")).digest(size)


def in_the_file(which: str, offset: int, data: bytes) -> bool:
    return ask("memory", FILES[which], offset, len(data)) == digest(data)


def write_by_linux(function: Function, offset: int, data: bytes) -> None:
    with node_of(function).open("r+b", buffering=0) as node:
        os.pwrite(node.fileno(), data, offset)
        os.fsync(node.fileno())


def read_by_linux(function: Function, offset: int, size: int) -> bytes:
    fd = os.open(node_of(function), os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


@case(timeout_s=60, guest=GUEST, params=("qemu", "served"))
def case_linux_drives_the_memory_and_its_flush_reaches_the_file(which: str) -> None:
    data = pattern(1, 64 << 10)
    function = function_of(which)
    assert function.driver == "virtio-pci"
    size = int((Path("/sys/block") / node_of(function).name / "size").read_text()) * 512
    assert size == SIZE
    write_by_linux(function, 2 * MIB, data)
    assert in_the_file(which, 2 * MIB, data)


@by_interface(guests=GUEST)
@case(timeout_s=60, params=("qemu", "served"))
def case_each_reads_what_the_other_wrote(which: str) -> None:
    function = function_of(which)
    from_linux, from_here = pattern(2, 100_000), pattern(3, 77_777)
    write_by_linux(function, 3 * MIB, from_linux)
    with by_vfio(function), VirtioPmem.open(uri_of(function.address)) as pmem:
        print(pmem, pmem.memory.is_cached)
        assert pmem.size == SIZE
        # A BAR is a device's memory; what /dev/mem maps cached is plain memory.
        assert pmem.memory.is_dereferenceable == (which == "qemu")
        assert pmem.read(3 * MIB, len(from_linux)) == from_linux
        pmem.write(5 * MIB + 1, from_here)
        pmem.flush()
        assert in_the_file(which, 5 * MIB + 1, from_here)
    assert read_by_linux(function, 5 * MIB, len(from_here) + 1)[1:] == from_here
    assert read_by_linux(function, 3 * MIB, len(from_linux)) == from_linux


@case(timeout_s=60, guest=GUEST)
def case_what_was_not_flushed_is_not_in_the_file() -> None:
    function = function_of("served")
    data = pattern(4, 4096)
    with by_vfio(function), VirtioPmem.open(f"vfio:{function.address}") as pmem:
        pmem.write(MIB, bytes(4096))
        pmem.flush()
        pmem.write(MIB, data)
        assert in_the_file("served", MIB, bytes(4096))
        pmem.flush()
        assert in_the_file("served", MIB, data)


@case(timeout_s=60, guest=GUEST)
def case_flushes_reach_qemu_s_device_one_by_one() -> None:
    function = function_of("qemu")
    with by_vfio(function), VirtioPmem.open(f"vfio:{function.address}") as pmem:
        before = int(ask("flushes"))
        for number in range(7):
            pmem.write(number, b"x")
            pmem.flush()
        assert int(ask("flushes")) - before == 7
        waiting = [pmem.flush_async() for _ in range(20)]
        assert {str(one.result(10.0)) for one in waiting} <= {"done", "joined"}
        assert pmem.device_flushes == int(ask("flushes")) - before


@case(timeout_s=90, guest=GUEST, params=("qemu", "served"))
def case_a_file_system_of_linux_survives(which: str) -> None:
    function = function_of(which)
    node = node_of(function)
    disk.run("mkfs.ext4", "-q", "-F", node)
    data = pattern(5, 3 * MIB + 17)
    with disk.mounted(node) as folder:
        (folder / "data").write_bytes(data)
    with by_vfio(function), VirtioPmem.open(f"vfio:{function.address}") as pmem:
        assert pmem.read(0x438, 2) == b"\x53\xef"  # the magic number of ext4's superblock
        image = pmem.read(0, SIZE)
        pmem.write(0, image)
        pmem.flush()
    with disk.mounted(node_of(function)) as folder:
        assert (folder / "data").read_bytes() == data
    disk.run("fsck.ext4", "-f", "-n", node_of(function))


@case(timeout_s=60, guest=GUEST)
def case_a_bar_is_not_dereferenced() -> None:
    function = function_of("served")
    with by_vfio(function), VirtioPmem.open(f"vfio:{function.address}") as pmem:
        dax = DaxDevice(pmem.memory, persist=pmem.flush, owns_memory=False)
        assert not dax.synchronous
        refused = raises(Unsupported, lambda: dax.direct_access(0, 1))
        assert "may not be dereferenced" in str(refused)
        dax.write_from(4097, b"unaligned")
        dax.persist(4097, 9)
        assert dax.read(4097, 9) == b"unaligned"
        assert in_the_file("served", 4097, b"unaligned")


@by_interface("cdev", guests=GUEST)
@case(timeout_s=60)
def case_shared_memory_regions_are_found_and_mapped() -> None:
    (function,) = find_functions((VIRTIO, SHM))
    with by_vfio(function), VirtioSharedMemory.open(uri_of(function.address)) as device:
        assert [(one.id, one.size) for one in device.regions] == [(0, 65536), (1, 65536)]
        for one in device.regions:
            device.map(one.id).write_from(100, b"region %d" % one.id)
        for one in device.regions:
            seen = bytearray(8)
            device.map(one.id).read_into(100, seen)
            assert seen == b"region %d" % one.id
            assert not device.map(one.id).is_dereferenceable


@case(timeout_s=60, guest=GUEST)
def case_host_visible_memory_of_a_gpu() -> None:
    (function,) = find_functions((VIRTIO, GPU))
    with by_vfio(function), VirtioSharedMemory.open(f"vfio:{function.address}") as gpu:
        assert [(one.id, one.size) for one in gpu.regions] == [(1, 64 * MIB)]
        assert gpu.purpose(1) == "host visible"
        gpu.map(1).read_into(0, bytearray(64))


@by_interface(guests=GUEST)
@case(timeout_s=60, params=("split", "packed"))
def case_queues_behind_an_iommu(ring: str) -> None:
    (function,) = find_functions((VIRTIO, RNG))
    wanted = [EVENT_IDX, INDIRECT_DESC, *([RING_PACKED] if ring == "packed" else [])]
    with by_vfio(function), VirtioDevice.open(uri_of(function.address), device_type=4) as rng:
        for interrupts in (True, False):
            rng.start({0: 8}, wanted=wanted, interrupts=interrupts)
            assert (RING_PACKED in rng.features) == (ring == "packed")
            buffer = rng.dma.alloc(4096)
            for _ in range(30):
                sent = rng.queues[0].submit((), [buffer[0:100], buffer[200:228]])
                assert rng.queues[0].wait(sent, 10.0) == 128
            assert bytes(buffer)[:100] != bytes(100)
            rng.reset()


@case(timeout_s=30, guest=GUEST)
def case_poisoned_memory_is_a_media_error_with_the_range() -> None:
    page = mmap.PAGESIZE
    with mmap.mmap(-1, 4 * page) as backing:  # shared with the child
        backing[:] = b"\x55" * (4 * page)
        child = os.fork()
        if not child:  # whoever poisons memory that it has mapped gets the signal at once
            backing.madvise(MADV_HWPOISON, 2 * page, page)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGBUS
        memory = PlainMemory(backing, name="poisoned")
        size, good = 4 * page - 100, 2 * page - 100
        target = bytearray(size)
        for copy in (
            lambda: memory.read_into(100, target),
            lambda: memory.write_from(100, bytes(size)),
            lambda: memory.write_from(100, bytes(size), nocache=True),
        ):
            error = raises(MediaError, copy)
            assert (error.offset, error.size, error.moved) == (2 * page, 2 * page, good)
        assert target[:good] == b"\x55" * good
        memory.read_into(3 * page, memoryview(target)[:page])
        assert target[:page] == b"\x55" * page
        memory.close()
