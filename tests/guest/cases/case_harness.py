"""The guest offers what the cases of pymmio build on: IOMMU groups and vfio-pci."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tests.guest.inside import (
    EDU,
    NVME,
    bind_vfio,
    bound_to_vfio,
    find_function,
    give_back,
    wait_until,
)

VFIO_GET_API_VERSION = ord(";") << 8 | 100  # Linux include/uapi/linux/vfio.h: _IO(';', 100 + 0)


def case_each_device_has_an_iommu_group_of_its_own() -> None:
    for ids in (EDU, NVME):
        function = find_function(ids)
        assert function.iommu_group is not None
        assert function.group_members() == [function.address]


def case_edu_binds_to_vfio_pci() -> None:
    with bound_to_vfio(EDU) as function:
        assert function.driver == "vfio-pci"
        assert Path(f"/dev/vfio/{function.iommu_group}").is_char_device()
    assert function.driver is None


def case_nvme_comes_back_to_its_kernel_driver() -> None:
    function = find_function(NVME)
    bind_vfio(function)
    assert give_back(function) == "nvme"
    wait_until(Path("/dev/nvme0n1").is_block_device, 10.0, "the kernel's namespace")


def case_vfio_has_api_version_0() -> None:
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    try:
        assert fcntl.ioctl(container, VFIO_GET_API_VERSION) == 0
    finally:
        os.close(container)
