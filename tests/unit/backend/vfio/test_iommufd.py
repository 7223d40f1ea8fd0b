from __future__ import annotations

import errno
import sys

import pytest

from pymmio.backend.vfio.opening import Interface
from pymmio.errors import BudgetExceeded, Closed, DmaError, ProtocolError
from pymmio.handle import DmaHandle, Iova, IovaRange
from tests.unit.backend.vfio.fake_kernel import FakeKernel
from tests.unit.backend.vfio.helpers import open_fake


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.offer_cdevs()
    return kernel


def dma_of(kernel: FakeKernel) -> DmaHandle:
    return open_fake(kernel, Interface.CDEV).dma


def map_page(kernel: FakeKernel, iova: int = 0x10000, size: int = 0x1000) -> None:
    dma_of(kernel).map(Iova(iova), size, address=0x7F00_0000_0000, fd=-1, fd_offset=0)


def test_ranges_and_page_size_come_from_the_kernel(kernel: FakeKernel) -> None:
    kernel.iommufd.ranges = [(0x8000_0000, 0xFFFF_FFFF), (0, 0x0FFF_FFFF)]
    kernel.iommufd.alignment = 0x1_0000
    dma = dma_of(kernel)
    assert list(dma.iova_ranges) == [
        IovaRange(0, 0x0FFF_FFFF),
        IovaRange(0x8000_0000, 0xFFFF_FFFF),
    ]
    assert (dma.page_size, dma.max_mappings, dma.pins_memory) == (0x1_0000, sys.maxsize, True)


@pytest.mark.parametrize("count", [1, 8, 9, 100])
def test_any_number_of_ranges_is_read(kernel: FakeKernel, count: int) -> None:
    kernel.iommufd.ranges = [(n << 20, (n << 20) + 0xFFFF) for n in range(count)]
    assert len(dma_of(kernel).iova_ranges) == count
    assert kernel.log.count("IOAS_IOVA_RANGES") == (1 if count <= 8 else 2)


def test_an_absurd_number_of_ranges_is_refused(kernel: FakeKernel) -> None:
    kernel.iommufd.ranges = [(0, 1)] * 0x1_0001
    with pytest.raises(ProtocolError, match="announces 65537"):
        dma_of(kernel)
    assert kernel.open_fds == {}


@pytest.mark.parametrize("alignment", [0, 3, 0x3000])
def test_an_alignment_that_makes_no_sense_is_refused(kernel: FakeKernel, alignment: int) -> None:
    kernel.iommufd.alignment = alignment
    with pytest.raises(ProtocolError, match="power of two"):
        dma_of(kernel)
    assert kernel.open_fds == {}


def test_map_and_unmap_reach_the_kernel(kernel: FakeKernel) -> None:
    dma = dma_of(kernel)
    dma.map(Iova(0x10000), 0x2000, address=0x7F00_0000_0000, fd=-1, fd_offset=0)
    assert kernel.iommufd.maps == {0x10000: (0x2000, 0x7F00_0000_0000)}
    dma.unmap(Iova(0x10000), 0x2000)
    assert kernel.iommufd.maps == {}


def test_unmapping_a_part_raises(kernel: FakeKernel) -> None:
    dma = dma_of(kernel)
    dma.map(Iova(0x10000), 0x2000, address=0x7F00_0000_0000, fd=-1, fd_offset=0)
    with pytest.raises(DmaError, match="ENOENT"):
        dma.unmap(Iova(0x10000), 0x1000)


def test_unmapping_more_than_was_mapped_raises(kernel: FakeKernel) -> None:
    dma = dma_of(kernel)
    dma.map(Iova(0x10000), 0x2000, address=0x7F00_0000_0000, fd=-1, fd_offset=0)
    with pytest.raises(DmaError, match="the kernel unmapped 0x2000 bytes"):
        dma.unmap(Iova(0x10000), 0x3000)


def test_enomem_says_that_the_user_is_charged(kernel: FakeKernel) -> None:
    kernel.errors["IOAS_MAP"] = errno.ENOMEM
    with pytest.raises(BudgetExceeded, match=r"memlock limit .*user 0 shares.*ulimit -l"):
        map_page(kernel)


@pytest.mark.parametrize(
    ("number", "iova", "size", "said"),
    [
        (errno.EINVAL, 0xFEE0_0000, 0x1000, "0xfee00000 to 0xfee00fff is reserved"),
        (errno.EINVAL, 1 << 48, 0x1000, "beyond"),
        (errno.EINVAL, 0x10001, 0x1000, "multiples of 0x1000"),
        (errno.EEXIST, 0x10000, 0x1000, "mapped there already"),
        (errno.EFAULT, 0x10000, 0x1000, "cannot be pinned"),
        (errno.EBUSY, 0x10000, 0x1000, "EBUSY"),
    ],
)
def test_refusals_are_explained(
    kernel: FakeKernel, number: int, iova: int, size: int, said: str
) -> None:
    kernel.errors["IOAS_MAP"] = number
    with pytest.raises(DmaError, match=said) as caught:
        map_page(kernel, iova, size)
    assert isinstance(caught.value.__cause__, OSError)


def test_map_after_close_raises(kernel: FakeKernel) -> None:
    device = open_fake(kernel, Interface.CDEV)
    device.close()
    with pytest.raises(Closed):
        device.dma.map(Iova(0), 0x1000, address=0, fd=-1, fd_offset=0)
