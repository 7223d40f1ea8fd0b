from __future__ import annotations

import errno
import resource
import struct

import pytest

from pymmio.errors import BudgetExceeded, Closed, DmaError, MappingLimit, ProtocolError, Unsupported
from pymmio.handle import Iova, IovaRange
from tests.unit.backend.vfio.fake_kernel import FakeKernel, cap, pairs
from tests.unit.backend.vfio.helpers import open_fake


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def map_page(kernel: FakeKernel, iova: int = 0x10000, size: int = 0x1000) -> None:
    open_fake(kernel).dma.map(Iova(iova), size, address=0x7F00_0000_0000, fd=-1, fd_offset=0)


def test_ranges_page_size_and_limit_come_from_the_kernel(kernel: FakeKernel) -> None:
    kernel.iommu_caps = [
        cap(3, 1, struct.pack("=I", 17)),
        cap(1, 1, pairs((0x8000_0000, 0xFFFF_FFFF), (0, 0x0FFF_FFFF))),
    ]
    kernel.page_sizes = 0x1_0000 | 0x20_0000
    dma = open_fake(kernel).dma
    assert list(dma.iova_ranges) == [
        IovaRange(0, 0x0FFF_FFFF),
        IovaRange(0x8000_0000, 0xFFFF_FFFF),
    ]
    assert (dma.page_size, dma.max_mappings, dma.pins_memory) == (0x1_0000, 17, True)


def test_capabilities_of_another_version_or_kind_are_passed_over(kernel: FakeKernel) -> None:
    kernel.iommu_caps = [
        cap(2, 1, bytes(24)),
        cap(1, 2, pairs((0, 1))),
        cap(3, 9, b""),
        cap(77, 1, b"anything"),
        cap(1, 1, pairs((0, 0xFFFF))),
    ]
    dma = open_fake(kernel).dma
    assert list(dma.iova_ranges) == [IovaRange(0, 0xFFFF)]


def test_an_old_kernel_that_says_nothing_gets_careful_defaults(kernel: FakeKernel) -> None:
    kernel.iommu_caps = []
    dma = open_fake(kernel).dma
    assert dma.max_mappings == 65535
    assert not any(r.first <= 0xFEE0_0000 <= r.last for r in dma.iova_ranges)
    assert max(r.last for r in dma.iova_ranges) == (1 << 39) - 1


def test_the_last_page_of_64_bits_is_left_out_because_it_cannot_be_unmapped(
    kernel: FakeKernel,
) -> None:
    kernel.iommu_caps = [cap(1, 1, pairs((0, (1 << 64) - 1)))]
    assert list(open_fake(kernel).dma.iova_ranges) == [IovaRange(0, (1 << 64) - 0x1001)]
    kernel.iommu_caps = [cap(1, 1, pairs((0, 0xFFFF), ((1 << 64) - 0x1000, (1 << 64) - 1)))]
    second = FakeKernel()
    second.iommu_caps = kernel.iommu_caps
    assert list(open_fake(second).dma.iova_ranges) == [IovaRange(0, 0xFFFF)]


@pytest.mark.parametrize(
    "caps",
    [
        [cap(1, 1, pairs((5, 4)))],
        [cap(1, 1, pairs((0, 0xFFFF), (0x8000, 0x1_0000)))],
        [cap(1, 1, struct.pack("=II", 500, 0))],
        [cap(3, 1, b"")],
    ],
)
def test_broken_information_is_refused_and_nothing_stays_open(
    kernel: FakeKernel, caps: list[tuple[int, int, bytes]]
) -> None:
    kernel.iommu_caps = caps
    with pytest.raises(ProtocolError):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_no_page_sizes_are_refused(kernel: FakeKernel) -> None:
    kernel.page_sizes = 0
    with pytest.raises(ProtocolError, match="page sizes"):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_information_that_cannot_be_had_is_unsupported(kernel: FakeKernel) -> None:
    kernel.errors["IOMMU_GET_INFO"] = errno.ENOTTY
    with pytest.raises(Unsupported, match="ENOTTY"):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_map_and_unmap_reach_the_kernel(kernel: FakeKernel) -> None:
    dma = open_fake(kernel).dma
    dma.map(Iova(0x10000), 0x2000, address=0x7F00_0000_0000, fd=-1, fd_offset=0)
    assert kernel.maps == {0x10000: (0x2000, 0x7F00_0000_0000)}
    dma.unmap(Iova(0x10000), 0x2000)
    assert kernel.maps == {}


@pytest.mark.parametrize("size", [0x1000, 0x3000])
def test_unmapping_something_else_than_was_mapped_raises(kernel: FakeKernel, size: int) -> None:
    dma = open_fake(kernel).dma
    dma.map(Iova(0x10000), 0x2000, address=0x7F00_0000_0000, fd=-1, fd_offset=0)
    with pytest.raises(DmaError, match="0x0 bytes"):
        dma.unmap(Iova(0x10000), size)


def test_unmap_error_of_the_kernel(kernel: FakeKernel) -> None:
    kernel.errors["IOMMU_UNMAP_DMA"] = errno.EINVAL
    with pytest.raises(DmaError, match="EINVAL"):
        open_fake(kernel).dma.unmap(Iova(0), 0x1000)


def test_enomem_tells_the_memlock_numbers(kernel: FakeKernel) -> None:
    kernel.texts["/proc/self/status"] = "Name:\tx\nVmLck:\t     512 kB\n"
    kernel.errors["IOMMU_MAP_DMA"] = errno.ENOMEM
    with pytest.raises(BudgetExceeded, match=r"memlock limit .*locked now 512 kB.*ulimit -l"):
        map_page(kernel)


@pytest.mark.parametrize(
    ("limit", "said"),
    [(65536, "memlock limit 65536 bytes"), (resource.RLIM_INFINITY, "memlock limit unlimited")],
)
def test_enomem_tells_the_limit_that_holds(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, limit: int, said: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    kernel.errors["IOMMU_MAP_DMA"] = errno.ENOMEM
    with pytest.raises(BudgetExceeded, match=said):
        map_page(kernel)


def test_enomem_without_proc_still_tells(kernel: FakeKernel) -> None:
    kernel.errors["IOMMU_MAP_DMA"] = errno.ENOMEM
    with pytest.raises(BudgetExceeded, match="locked now unknown"):
        map_page(kernel)


def test_enospc_is_the_limit_of_mappings(kernel: FakeKernel) -> None:
    kernel.errors["IOMMU_MAP_DMA"] = errno.ENOSPC
    with pytest.raises(MappingLimit, match="65535"):
        map_page(kernel)


@pytest.mark.parametrize(
    ("iova", "size", "said"),
    [
        (0xFEE0_0000, 0x1000, "0xfee00000 to 0xfee00fff is reserved"),
        (0xFEDF_F000, 0x2000, "reserved"),
        (1 << 48, 0x1000, "beyond"),
        (0x10001, 0x1000, "multiples of 0x1000"),
        (0x10000, 0x1001, "multiples of 0x1000"),
        (0x10000, 0, "multiples of 0x1000"),
        (0x10000, 0x1000, "refuses the address, the size or the memory"),
    ],
)
def test_einval_says_what_is_wrong_and_what_is_usable(
    kernel: FakeKernel, iova: int, size: int, said: str
) -> None:
    kernel.errors["IOMMU_MAP_DMA"] = errno.EINVAL
    with pytest.raises(DmaError, match=said) as caught:
        map_page(kernel, iova, size)
    assert "0x0 to 0xfedfffff, 0xfef00000 to 0xffffffffffff" in str(caught.value)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EEXIST, "mapped there already"),
        (errno.EFAULT, "cannot be pinned"),
        (errno.EBUSY, "EBUSY"),
    ],
)
def test_other_errors_are_named(kernel: FakeKernel, number: int, said: str) -> None:
    kernel.errors["IOMMU_MAP_DMA"] = number
    with pytest.raises(DmaError, match=said) as caught:
        map_page(kernel)
    assert isinstance(caught.value.__cause__, OSError)


def test_map_after_close_raises(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    device.close()
    with pytest.raises(Closed):
        device.dma.map(Iova(0), 0x1000, address=0, fd=-1, fd_offset=0)
