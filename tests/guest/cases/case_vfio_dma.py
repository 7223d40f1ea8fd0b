"""DMA through type1 and through iommufd: what may be mapped where, and that it is reached."""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymmio
from pymmio.backend import vfio
from pymmio.errors import BudgetExceeded, DmaError, MappingLimit
from pymmio.handle import DeviceHandle, Iova
from pymmio.uri import DeviceUri
from tests.guest.cases.vfio_common import (
    bound_handle,
    given_to,
    holding,
    in_child,
    nodes_of,
    refuses,
    shared_page,
)
from tests.guest.inside import EDU, PCI_TESTDEV, bound_to_vfio, wait_until
from tests.guest.interfaces import by_interface, interface, uri_of

PAGE = 0x1000
MSI_WINDOW = 0xFEE0_0000  # Intel SDM vol. 3 §11.11: writes there are interrupts
LIMIT = Path("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit")

# QEMU docs/specs/edu.rst
EDU_BUFFER = 0x40000
DMA_SOURCE, DMA_DESTINATION, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
START, FROM_DEVICE = 1 << 0, 1 << 1
EDU_BYTES = 2048  # of 4096: QEMU 7.2 ends itself where a transfer reaches the buffer's last byte
USER = 65534


def _map(handle: DeviceHandle, iova: int, size: int = PAGE) -> None:
    address = shared_page(max(size, PAGE))
    handle.dma.map(Iova(iova), size, address=address, fd=-1, fd_offset=0)


def _refused(handle: DeviceHandle, iova: int, size: int = PAGE) -> str:
    try:
        _map(handle, iova, size)
    except DmaError as error:
        return str(error)
    raise AssertionError(f"{size:#x} bytes at {iova:#x} were mapped")


@by_interface()
def case_the_aperture_leaves_the_msi_window_out() -> None:
    with bound_handle(EDU) as edu:
        ranges = list(edu.dma.iova_ranges)
        assert len(ranges) >= 2
        assert not any(r.first <= MSI_WINDOW + 0xFFFFF and r.last >= MSI_WINDOW for r in ranges)
        assert edu.dma.page_size == PAGE
        if edu.interface == "group":
            assert edu.dma.max_mappings == int(LIMIT.read_text())
        assert edu.dma.pins_memory


@by_interface()
def case_the_reserved_window_and_what_lies_beyond_are_refused() -> None:
    with bound_handle(EDU) as edu:
        assert "reserved" in _refused(edu, MSI_WINDOW)
        assert "reserved" in _refused(edu, MSI_WINDOW - PAGE, 2 * PAGE)
        beyond = max(r.last for r in edu.dma.iova_ranges) + 1
        if beyond < 1 << 63:  # virtio-iommu translates all addresses
            assert f"{beyond:#x}" in _refused(edu, beyond)


@by_interface()
def case_the_edges_of_the_aperture_are_usable() -> None:
    with bound_handle(EDU) as edu:
        for r in edu.dma.iova_ranges:
            for iova in (r.first, r.last + 1 - PAGE):
                _map(edu, iova)
                edu.dma.unmap(Iova(iova), PAGE)


@by_interface()
def case_overlaps_misalignment_and_wrong_unmaps_are_refused() -> None:
    with bound_handle(EDU) as edu:
        _map(edu, 0x10000, 2 * PAGE)
        assert "mapped there already" in _refused(edu, 0x11000)
        assert "multiples of 0x1000" in _refused(edu, 0x20800)
        for iova, size in ((0x10000, PAGE), (0x11000, PAGE), (0x30000, PAGE)):
            try:
                edu.dma.unmap(Iova(iova), size)
            except DmaError:
                continue
            raise AssertionError(f"{size:#x} bytes at {iova:#x} were unmapped")
        edu.dma.unmap(Iova(0x10000), 2 * PAGE)


@by_interface()
def case_memory_that_is_read_only_is_refused() -> None:
    # /dev/zero gives private pages, read-only in our page table: the device must not write.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    address = libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1, 0)
    with bound_handle(EDU) as edu:
        with refuses(DmaError, "cannot be pinned"):
            edu.dma.map(Iova(0x10000), PAGE, address=address, fd=-1, fd_offset=0)


@contextmanager
def _entry_limit(limit: int) -> Iterator[None]:
    before = LIMIT.read_text()
    LIMIT.write_text(str(limit))
    try:
        yield
    finally:
        LIMIT.write_text(before)


@by_interface("group")
def case_the_limit_of_mappings_is_told_and_kept() -> None:
    with _entry_limit(3), bound_handle(EDU) as edu:
        assert edu.dma.max_mappings == 3
        for number in range(3):
            _map(edu, 0x10000 + number * PAGE)
        with refuses(MappingLimit, "3 when it was opened"):
            _map(edu, 0x20000)
        edu.dma.unmap(Iova(0x10000), PAGE)
        _map(edu, 0x20000)


@by_interface()
def case_a_user_without_root_drives_the_device_and_memlock_is_explained() -> None:
    def as_user(address: str) -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
        os.setgid(USER)
        os.setuid(USER)
        edu = vfio.open(DeviceUri.parse(uri_of(address)))
        _map(edu, 0x10_0000, 64 * PAGE)
        with refuses(BudgetExceeded, "memlock limit 1048576 bytes, ", *said, "ulimit -l"):
            _map(edu, 0x100_0000, 2 << 20)
        edu.close()

    by_group = interface() == "group"
    said = ["locked now 256 kB"] if by_group else [f"user {USER} shares among all processes"]
    with bound_to_vfio(EDU) as function, given_to(USER, *nodes_of(function)):
        in_child(lambda: as_user(function.address))


def _ignore(result: object) -> None:
    """Make a procedure of a function."""


@by_interface("cdev")
def case_memory_is_charged_to_the_user_across_processes() -> None:
    def use(address: str) -> object:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 20, 1 << 20))
        os.setgid(USER)
        os.setuid(USER)
        handle = vfio.open(DeviceUri.parse(uri_of(address)))
        _map(handle, 0x10_0000, 0xC0 * PAGE)
        return handle

    def second(address: str) -> None:
        with refuses(BudgetExceeded, "shares among all processes"):
            use(address)

    with bound_to_vfio(EDU) as edu, bound_to_vfio(PCI_TESTDEV) as testdev:
        with given_to(USER, *nodes_of(edu), *nodes_of(testdev)):
            with holding(lambda: use(edu.address)):
                in_child(lambda: second(testdev.address))
            in_child(lambda: _ignore(use(testdev.address)))


@by_interface()
def case_edu_copies_to_its_buffer_and_back() -> None:
    with bound_to_vfio(EDU) as function:
        with pymmio.open_device(uri_of(function.address)) as edu:
            bar, buf = edu.region(0), edu.dma.alloc(2 * EDU_BYTES, address_bits=28)
            edu.enable_bus_master()
            pattern = bytes(range(256)) * (EDU_BYTES // 256)
            memoryview(buf)[:EDU_BYTES] = pattern

            def copy(source: int, destination: int, command: int) -> None:
                bar.write64(DMA_SOURCE, source)
                bar.write64(DMA_DESTINATION, destination)
                bar.write64(DMA_COUNT, EDU_BYTES)
                bar.write64(DMA_COMMAND, command | START)
                wait_until(lambda: not bar.read64(DMA_COMMAND) & START, 5.0, "edu's DMA")

            copy(buf.iova, EDU_BUFFER, 0)
            copy(EDU_BUFFER, buf.iova + EDU_BYTES, FROM_DEVICE)
            assert bytes(memoryview(buf)[EDU_BYTES:]) == pattern
