"""How the memory is reached, and what is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from pymmio.errors import (
    Closed,
    DeviceNotFound,
    FeatureMissing,
    OutOfBounds,
    ProtocolError,
    Unsupported,
    UriError,
)
from pymmio.models.virtio.device import SharedMemory
from pymmio.models.virtio.pmem import VirtioPmemModel
from pymmio.models.virtio.rng import VirtioRngModel
from pymmio.testing import open_model
from pymmio_drivers.virtio_pmem import VirtioPmem


def test_by_its_name() -> None:
    with VirtioPmem.open("sim:virtio-pmem?size=64M") as pmem:
        assert pmem.size == 64 << 20
        pmem.write(0, b"...")
        pmem.flush()
        assert pmem.read(0, 3) == b"..."
        assert pmem.way == "shared-memory region 0"
        assert pmem.memory.is_cached


def test_the_file_keeps_what_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "pmem"
    with VirtioPmem.open(f"sim:virtio-pmem?size=1M&file={path}") as pmem:
        pmem.write(4096, b"flushed")
        pmem.flush()
        pmem.write(8192, b"not flushed")
    assert path.read_bytes()[4096:4103] == b"flushed"
    with VirtioPmem.open(f"sim:virtio-pmem?size=1M&file={path}") as pmem:
        assert pmem.read(4096, 7) == b"flushed"
        assert pmem.read(8192, 11) == bytes(11)


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (4096, 1), (4090, 7), (1 << 64, 1)])
def test_outside_is_refused_and_nothing_is_touched(offset: int, size: int) -> None:
    with VirtioPmem.open("sim:virtio-pmem?size=4096") as pmem:
        pmem.write(4090, b"abcdef")
        with pytest.raises(OutOfBounds):
            pmem.read(offset, size)
        with pytest.raises(OutOfBounds):
            pmem.write(offset, bytes(size))
        assert pmem.read(4090, 6) == b"abcdef"


def test_memory_that_no_bar_leads_to_says_what_to_do() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Unsupported, match=r"0x4000000000.*SHMEM_REGION.*/dev/pmem0"):
        VirtioPmem.open("sim:virtio-pmem?shmem=off")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_start_and_size_that_overflow_are_refused() -> None:
    model = VirtioPmemModel(shmem=False)
    model.config_bytes = lambda: struct.pack("<QQ", (1 << 64) - 4096, 8192)  # type: ignore[method-assign]
    with pytest.raises(ProtocolError, match="not possible"):
        VirtioPmem.open(open_model(model))


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 1 << 30), (1 << 20, 1), ((1 << 64) - 4096, 8192), (0, 0)],
    ids=["too large", "behind the end", "overflow", "empty"],
)
def test_a_shared_memory_region_outside_its_bar_is_refused(offset: int, size: int) -> None:
    model = VirtioPmemModel(size="1M")
    device = open_model(model)
    device.close()
    model = VirtioPmemModel(size="1M")
    model.shared_memory = (SharedMemory(0, 2, offset, size),)
    from pymmio.models.virtio.device import _capabilities, _shared_capability

    model.vendor_capabilities = [*_capabilities(), _shared_capability(model.shared_memory[0])]
    with pytest.raises(ProtocolError, match="does not fit"):
        VirtioPmem.open(open_model(model))


def test_shmem_without_a_region_is_refused() -> None:
    model = VirtioPmemModel(size="1M")
    from pymmio.models.virtio.device import _capabilities

    model.vendor_capabilities = _capabilities()
    with pytest.raises(DeviceNotFound, match="no shared-memory region 0"):
        VirtioPmem.open(open_model(model))


def test_another_virtio_device_is_refused() -> None:
    with pytest.raises(Unsupported, match="type 4, not 27"):
        VirtioPmem.open(open_model(VirtioRngModel()))


def test_without_access_platform_the_option_of_qemu_is_named() -> None:
    model = VirtioPmemModel(size="1M")
    model.offered &= ~(1 << 33)
    with pytest.raises(FeatureMissing, match="iommu_platform=on"):
        VirtioPmem.open(open_model(model))


def test_sizes_are_whole_pages() -> None:
    with pytest.raises(UriError, match="whole pages"):
        VirtioPmem.open("sim:virtio-pmem?size=5000")


def test_after_close_memory_is_not_there() -> None:
    pmem = VirtioPmem.open("sim:virtio-pmem?size=1M")
    pmem.close()
    with pytest.raises(Closed):
        pmem.read(0, 1)
