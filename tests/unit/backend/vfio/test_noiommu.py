from __future__ import annotations

import errno
import mmap

import pytest

from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.noiommu import MODE, NoIommuDma, NoIommuWarning
from pymmio.backend.vfio.opening import Interface
from pymmio.dma.placed import PlacesMemory
from pymmio.errors import Closed, DmaError, PermissionRefused, Unsupported
from pymmio.handle import Iova
from tests.unit.backend.vfio.fake_kernel import (
    DEVICE_PATH,
    NOIOMMU_PATH,
    PAGEMAP,
    FakeKernel,
)
from tests.unit.backend.vfio.helpers import open_fake

PAGE = mmap.PAGESIZE
AT = 0x1000 * PAGE
PRESENT = 1 << 63


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.be_without_iommu()
    return kernel


def open_unsafe(kernel: FakeKernel) -> VfioDevice:
    with pytest.warns(NoIommuWarning, match="reaches all memory of this machine"):
        return open_fake(kernel, Interface.NOIOMMU)


def dma_of(kernel: FakeKernel) -> NoIommuDma:
    dma = open_unsafe(kernel).dma
    assert isinstance(dma, NoIommuDma)
    return dma


def test_it_is_another_group_and_another_extension(kernel: FakeKernel) -> None:
    device = open_unsafe(kernel)
    assert device.interface == "noiommu"
    assert kernel.log[0] == f"open {NOIOMMU_PATH}"
    assert kernel.extension_asked == kernel.iommu_set == [8]
    assert "IOMMU_GET_INFO" not in kernel.log
    device.close()
    assert kernel.open_fds == {}


@pytest.mark.parametrize("interface", [Interface.AUTO, Interface.GROUP, Interface.CDEV])
def test_it_is_not_taken_unasked(kernel: FakeKernel, interface: Interface) -> None:
    with pytest.raises(Unsupported, match="interface=noiommu"):
        open_fake(kernel, interface)
    assert kernel.open_fds == {}


def test_a_device_behind_an_iommu_is_refused() -> None:
    kernel = FakeKernel()
    with pytest.raises(Unsupported, match=r"has an IOMMU \(group 7\)"):
        open_fake(kernel, Interface.NOIOMMU)
    assert kernel.log == []


def test_vfio_that_was_not_told_says_what_to_do() -> None:
    kernel = FakeKernel()
    del kernel.links[f"{DEVICE_PATH}/iommu_group"]
    kernel.texts[MODE] = "N"
    with pytest.raises(Unsupported, match=f"echo 1 > {MODE}") as caught:
        open_fake(kernel, Interface.NOIOMMU)
    assert f"echo 0000:01:00.0 > {DEVICE_PATH}/driver/unbind" in str(caught.value)


def test_a_kernel_that_cannot_says_so() -> None:
    kernel = FakeKernel()
    del kernel.links[f"{DEVICE_PATH}/iommu_group"]
    with pytest.raises(Unsupported, match="CONFIG_VFIO_NOIOMMU"):
        open_fake(kernel, Interface.NOIOMMU)


def test_no_extension(kernel: FakeKernel) -> None:
    kernel.results["CHECK_EXTENSION"] = 0
    with pytest.raises(Unsupported, match="with an IOMMU only"), pytest.warns(NoIommuWarning):
        open_fake(kernel, Interface.NOIOMMU)
    assert kernel.open_fds == {}


def test_a_user_without_the_capability(kernel: FakeKernel) -> None:
    kernel.errors[f"open {NOIOMMU_PATH}"] = errno.EPERM
    with pytest.raises(PermissionRefused, match="CAP_SYS_RAWIO"), pytest.warns(NoIommuWarning):
        open_fake(kernel, Interface.NOIOMMU)


def test_memory_is_where_the_pagemap_says(kernel: FakeKernel) -> None:
    dma = dma_of(kernel)
    assert isinstance(dma, PlacesMemory)
    kernel.frames = {0x1000 + n: PRESENT | 1 << 61 | 0x2_0000 + n for n in range(4)}
    assert dma.place(AT, 4 * PAGE) == 0x2_0000 * PAGE
    dma.map(Iova(0x2_0000 * PAGE), 4 * PAGE, address=AT, fd=-1, fd_offset=0)
    dma.unmap(Iova(0x2_0000 * PAGE), 4 * PAGE)
    assert PAGEMAP not in kernel.open_fds.values()


@pytest.mark.parametrize(
    ("frames", "expected", "said"),
    [
        ([0x10, 0x11, 0x13, 0x14], DmaError, "scattered.*page 2"),
        ([0x14, 0x13, 0x12, 0x11], DmaError, "scattered"),
        ([0, 0, 0, 0], PermissionRefused, "CAP_SYS_ADMIN"),
    ],
)
def test_memory_that_a_device_cannot_be_given(
    kernel: FakeKernel, frames: list[int], expected: type[Exception], said: str
) -> None:
    dma = dma_of(kernel)
    kernel.frames = {0x1000 + n: PRESENT | frame for n, frame in enumerate(frames)}
    with pytest.raises(expected, match=said):
        dma.place(AT, 4 * PAGE)


def test_memory_that_is_not_there(kernel: FakeKernel) -> None:
    dma = dma_of(kernel)
    kernel.frames = {0x1000: PRESENT | 0x10}
    with pytest.raises(DmaError, match="not all in memory"):
        dma.place(AT, 2 * PAGE)


def test_another_address_than_that_of_the_memory_is_refused(kernel: FakeKernel) -> None:
    dma = dma_of(kernel)
    kernel.frames = {0x1000: PRESENT | 0x10}
    with pytest.raises(DmaError, match="cannot be mapped at 0x5000"):
        dma.map(Iova(0x5000), PAGE, address=AT, fd=-1, fd_offset=0)


def test_no_pagemap(kernel: FakeKernel) -> None:
    dma = dma_of(kernel)
    kernel.errors[f"open {PAGEMAP}"] = errno.EACCES
    with pytest.raises(PermissionRefused, match="EACCES"):
        dma.place(AT, PAGE)


def test_map_after_close_raises(kernel: FakeKernel) -> None:
    device = open_unsafe(kernel)
    device.close()
    with pytest.raises(Closed):
        device.dma.map(Iova(0), PAGE, address=AT, fd=-1, fd_offset=0)
