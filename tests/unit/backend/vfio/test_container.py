"""Several devices in one container."""

from __future__ import annotations

import errno
import struct

import pytest

from pymmio.backend.vfio.opening import open_function
from pymmio.errors import Closed, DeviceBusy, PymmioError, Unsupported
from pymmio.pci.address import PciAddress
from tests.unit.backend.vfio.fake_kernel import (
    ADDRESS,
    CONTAINER_PATH,
    GROUP,
    GROUP_PATH,
    SECOND,
    SECOND_GROUP,
    SECOND_GROUP_PATH,
    FakeKernel,
    cap,
    pairs,
)
from tests.unit.backend.vfio.helpers import open_fake, open_second


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.add_second()
    return kernel


def test_the_second_group_joins_the_container_and_leaves_it(kernel: FakeKernel) -> None:
    first = open_fake(kernel)
    second = open_second(kernel, first)
    assert second.dma is first.dma
    assert len(set(kernel.containers.values())) == 1
    assert kernel.log.count("SET_IOMMU") == kernel.log.count(f"open {CONTAINER_PATH}") == 1
    kernel.log.clear()
    first.close()
    assert kernel.log == [f"close {ADDRESS}", "GROUP_UNSET_CONTAINER", f"close {GROUP_PATH}"]
    kernel.log.clear()
    second.close()
    assert kernel.log == [
        f"close {SECOND}",
        "GROUP_UNSET_CONTAINER",
        f"close {SECOND_GROUP_PATH}",
        f"close {CONTAINER_PATH}",
    ]


def test_members_of_one_group_share_its_descriptor() -> None:
    kernel = FakeKernel()
    kernel.add_second(group=GROUP)
    first = open_fake(kernel)
    second = open_second(kernel, first)
    assert kernel.log.count(f"open {GROUP_PATH}") == 1
    first.close()
    assert kernel.containers
    second.close()
    assert kernel.open_fds == {}


def test_ranges_are_asked_again_and_the_limit_of_mappings_stays(kernel: FakeKernel) -> None:
    first = open_fake(kernel)
    kernel.iommu_caps = [cap(1, 1, pairs((0, 0xFFFF))), cap(3, 1, struct.pack("=I", 65000))]
    open_second(kernel, first)
    assert [r.last for r in first.dma.iova_ranges] == [0xFFFF]
    assert first.dma.max_mappings == 65535


def test_a_group_that_does_not_fit_is_refused_with_the_way_out(kernel: FakeKernel) -> None:
    first = open_fake(kernel)
    kernel.errors["GROUP_SET_CONTAINER"] = errno.EINVAL
    before = dict(kernel.open_fds)
    with pytest.raises(Unsupported, match=r"cannot share.*before memory is allocated"):
        open_second(kernel, first)
    assert kernel.open_fds == before


def _steps_of_joining() -> list[str]:
    kernel = FakeKernel()
    kernel.add_second()
    first = open_fake(kernel)
    kernel.log.clear()
    open_second(kernel, first)
    return kernel.log


@pytest.mark.parametrize("step", range(len(_steps_of_joining())))
def test_any_step_that_fails_leaves_the_first_as_it_was(kernel: FakeKernel, step: int) -> None:
    first = open_fake(kernel)
    before = dict(kernel.open_fds)
    kernel.fail_at = len(kernel.log) + step
    with pytest.raises(PymmioError):
        open_second(kernel, first)
    kernel.fail_at = None
    assert kernel.open_fds == before
    assert set(kernel.containers) == {GROUP_PATH}
    open_second(kernel, first).close()
    first.close()
    assert kernel.open_fds == {}


def test_a_closed_device_cannot_be_joined(kernel: FakeKernel) -> None:
    first = open_fake(kernel)
    first.close()
    with pytest.raises(Closed):
        open_second(kernel, first)
    assert kernel.open_fds == {}


def test_the_same_device_is_refused(kernel: FakeKernel) -> None:
    first = open_fake(kernel)
    with pytest.raises(DeviceBusy, match="in this program already"):
        open_function(kernel, PciAddress.parse(ADDRESS), peer=first)


def test_a_device_without_an_iommu_does_not_join_one_that_has(kernel: FakeKernel) -> None:
    first = open_fake(kernel)
    kernel.texts[f"/sys/kernel/iommu_groups/{SECOND_GROUP}/name"] = "vfio-noiommu"
    with pytest.raises(Unsupported, match="has no IOMMU and cannot share"):
        open_second(kernel, first)
