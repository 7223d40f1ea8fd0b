"""Pin what <linux/vfio.h> says; a C compiler is asked where there is one with that header."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pymmio.backend.vfio import uapi
from tests.unit.backend.vfio.fake_kernel import REQUESTS

SIZES = {  # structure -> bytes, and offset of its last member
    "GROUP_STATUS": 8,
    "DEVICE_INFO": 20,
    "REGION_INFO": 32,
    "IRQ_INFO": 16,
    "IRQ_SET": 20,
    "IOMMU_INFO": 24,
    "DMA_MAP": 32,
    "DMA_UNMAP": 24,
    "CAP_HEADER": 8,
    "LIST_HEADER": 8,
    "PAIR_OF_U64": 16,
    "DMA_AVAIL_BODY": 4,
    "FD_ARGUMENT": 4,
    "BIND_IOMMUFD": 16,
    "BIND_IOMMUFD_TOKEN": 24,
    "ATTACH_IOMMUFD_PT": 12,
    "DETACH_IOMMUFD_PT": 8,
    "DEVICE_FEATURE_HEADER": 8,
}


@pytest.mark.parametrize(("number", "name"), REQUESTS.items())
def test_request_numbers_are_those_of_the_header(number: int, name: str) -> None:
    assert uapi.request_number(number - 0x3B64, "x86_64") == number
    assert getattr(uapi, name) & 0xFFFF == number


def test_powerpc_numbers_carry_the_direction_bit() -> None:
    assert uapi.request_number(0, "ppc64le") == 0x2000_3B64
    for machine in ("x86_64", "aarch64", "riscv64", "s390x"):
        assert uapi.request_number(0, machine) == 0x3B64


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_structure_sizes_are_those_of_the_header(name: str, size: int) -> None:
    assert getattr(uapi, name).size == size


@pytest.mark.parametrize("name", SIZES)
def test_structures_never_use_native_alignment(name: str) -> None:
    assert getattr(uapi, name).format.startswith("=")


def test_flag_values_are_those_of_the_header() -> None:
    assert [int(flag) for flag in uapi.GroupFlags] == [1, 2]
    assert [int(flag) for flag in uapi.RegionFlags] == [1, 2, 4, 8]
    assert [int(flag) for flag in uapi.IrqInfoFlags] == [1, 2, 4, 8]
    assert [int(flag) for flag in uapi.IrqSetFlags] == [1, 2, 4, 8, 16, 32]
    assert [int(flag) for flag in uapi.IommuInfoFlags] == [1, 2]
    assert [int(flag) for flag in uapi.DmaMapFlags] == [1, 2]
    assert (uapi.DeviceFlags.RESET, uapi.DeviceFlags.PCI) == (1, 2)
    assert [int(index) for index in uapi.IrqIndex] == [0, 1, 2, 3, 4]
    assert (uapi.RegionIndex.BAR5, uapi.RegionIndex.ROM) == (5, 6)
    assert (uapi.RegionIndex.CONFIG, uapi.RegionIndex.VGA) == (7, 8)
    assert [int(cap) for cap in uapi.RegionCap] == [1, 2, 3]
    assert [int(cap) for cap in uapi.IommuCap] == [1, 2, 3]
    assert (uapi.API_VERSION, uapi.TYPE1V2_IOMMU, uapi.NOIOMMU_IOMMU) == (0, 3, 8)
    assert uapi.BIND_WITH_TOKEN == 1
    assert [int(flag) for flag in uapi.FeatureFlags] == [0x1_0000, 0x2_0000, 0x4_0000]
    assert int(uapi.FeatureFlags.PCI_VF_TOKEN) == 0


_C = r"""
#include <stddef.h>
#include <linux/vfio.h>
#define SAME(a, b) _Static_assert((a) == (b), #a)
SAME(VFIO_GET_API_VERSION, %(GET_API_VERSION)dU);
SAME(VFIO_CHECK_EXTENSION, %(CHECK_EXTENSION)dU);
SAME(VFIO_SET_IOMMU, %(SET_IOMMU)dU);
SAME(VFIO_GROUP_GET_STATUS, %(GROUP_GET_STATUS)dU);
SAME(VFIO_GROUP_SET_CONTAINER, %(GROUP_SET_CONTAINER)dU);
SAME(VFIO_GROUP_UNSET_CONTAINER, %(GROUP_UNSET_CONTAINER)dU);
SAME(VFIO_GROUP_GET_DEVICE_FD, %(GROUP_GET_DEVICE_FD)dU);
SAME(VFIO_DEVICE_GET_INFO, %(DEVICE_GET_INFO)dU);
SAME(VFIO_DEVICE_GET_REGION_INFO, %(DEVICE_GET_REGION_INFO)dU);
SAME(VFIO_DEVICE_GET_IRQ_INFO, %(DEVICE_GET_IRQ_INFO)dU);
SAME(VFIO_DEVICE_SET_IRQS, %(DEVICE_SET_IRQS)dU);
SAME(VFIO_DEVICE_RESET, %(DEVICE_RESET)dU);
SAME(VFIO_IOMMU_GET_INFO, %(IOMMU_GET_INFO)dU);
SAME(VFIO_IOMMU_MAP_DMA, %(IOMMU_MAP_DMA)dU);
SAME(VFIO_IOMMU_UNMAP_DMA, %(IOMMU_UNMAP_DMA)dU);
SAME(VFIO_DEVICE_FEATURE, %(DEVICE_FEATURE)dU);
SAME(VFIO_DEVICE_FEATURE_SET, 0x20000);
SAME(VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, 0);
SAME(VFIO_NOIOMMU_IOMMU, 8);
#ifdef VFIO_DEVICE_BIND_IOMMUFD /* Linux 6.6 */
SAME(VFIO_DEVICE_BIND_IOMMUFD, %(DEVICE_BIND_IOMMUFD)dU);
SAME(VFIO_DEVICE_ATTACH_IOMMUFD_PT, %(DEVICE_ATTACH_IOMMUFD_PT)dU);
SAME(VFIO_DEVICE_DETACH_IOMMUFD_PT, %(DEVICE_DETACH_IOMMUFD_PT)dU);
SAME(offsetof(struct vfio_device_bind_iommufd, iommufd), 8);
SAME(offsetof(struct vfio_device_attach_iommufd_pt, pt_id), 8);
#endif
SAME(sizeof(struct vfio_region_info), 32);
SAME(offsetof(struct vfio_region_info, cap_offset), 12);
SAME(offsetof(struct vfio_region_info, offset), 24);
SAME(sizeof(struct vfio_iommu_type1_info), 24);
SAME(offsetof(struct vfio_iommu_type1_info, cap_offset), 16);
SAME(sizeof(struct vfio_iommu_type1_dma_map), 32);
SAME(offsetof(struct vfio_iommu_type1_dma_map, iova), 16);
SAME(sizeof(struct vfio_iommu_type1_dma_unmap), 24);
SAME(sizeof(struct vfio_irq_set), 20);
SAME(sizeof(struct vfio_irq_info), 16);
SAME(offsetof(struct vfio_region_info_cap_sparse_mmap, areas), 16);
SAME(offsetof(struct vfio_iommu_type1_info_cap_iova_range, iova_ranges), 16);
SAME(offsetof(struct vfio_iommu_type1_info_dma_avail, avail), 8);
"""


def test_the_header_of_this_machine_agrees(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/vfio.h").exists():
        pytest.skip("no C compiler, or no linux/vfio.h (package linux-libc-dev)")
    source = tmp_path / "vfio.c"
    source.write_text(_C % {name: getattr(uapi, name) for name in REQUESTS.values()})
    subprocess.run([compiler, "-fsyntax-only", "-w", str(source)], check=True, timeout=60)
