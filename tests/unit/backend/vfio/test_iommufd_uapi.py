"""Pin what <linux/iommufd.h> says; a C compiler is asked where there is one with that header."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pymmio.backend.vfio import iommufd_uapi as uapi
from tests.unit.backend.vfio.fake_iommufd import IOMMUFD_REQUESTS

SIZES = {
    "DESTROY_ARGUMENT": 8,
    "IOAS_ALLOC_ARGUMENT": 12,
    "IOVA_RANGES_ARGUMENT": 32,
    "IOVA_RANGE": 16,
    "IOAS_MAP_ARGUMENT": 40,
    "IOAS_UNMAP_ARGUMENT": 24,
}


@pytest.mark.parametrize(("number", "name"), IOMMUFD_REQUESTS.items())
def test_request_numbers_are_those_of_the_header(number: int, name: str) -> None:
    assert getattr(uapi, name) & 0xFFFF == number


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_structure_sizes_are_those_of_the_header(name: str, size: int) -> None:
    assert getattr(uapi, name).size == size
    assert getattr(uapi, name).format.startswith("=")


def test_flag_values_are_those_of_the_header() -> None:
    assert [int(flag) for flag in uapi.MapFlags] == [1, 2, 4]


_C = r"""
#include <stddef.h>
#include <linux/iommufd.h>
#define SAME(a, b) _Static_assert((a) == (b), #a)
SAME(IOMMU_DESTROY, %(DESTROY)dU);
SAME(IOMMU_IOAS_ALLOC, %(IOAS_ALLOC)dU);
SAME(IOMMU_IOAS_IOVA_RANGES, %(IOAS_IOVA_RANGES)dU);
SAME(IOMMU_IOAS_MAP, %(IOAS_MAP)dU);
SAME(IOMMU_IOAS_UNMAP, %(IOAS_UNMAP)dU);
SAME(sizeof(struct iommu_ioas_iova_ranges), 32);
SAME(offsetof(struct iommu_ioas_iova_ranges, allowed_iovas), 16);
SAME(sizeof(struct iommu_ioas_map), 40);
SAME(offsetof(struct iommu_ioas_map, iova), 32);
SAME(sizeof(struct iommu_ioas_unmap), 24);
SAME(IOMMU_IOAS_MAP_FIXED_IOVA, 1);
SAME(IOMMU_IOAS_MAP_WRITEABLE, 2);
SAME(IOMMU_IOAS_MAP_READABLE, 4);
"""


HEADER = Path("/usr/include/linux/iommufd.h")  # package linux-libc-dev, 6.2 or newer

if HEADER.exists():  # the literals above hold everywhere; where the header is, it must agree

    def test_the_header_of_this_machine_agrees(tmp_path: Path) -> None:
        source = tmp_path / "iommufd.c"
        source.write_text(_C % {name: getattr(uapi, name) for name in IOMMUFD_REQUESTS.values()})
        command = ["cc", "-fsyntax-only", "-w", str(source)]
        subprocess.run(command, check=True, timeout=60)
