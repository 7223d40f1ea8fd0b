"""Where the device's addresses begin, as the kernel says it."""

from __future__ import annotations

import mmap
from pathlib import Path

import pymmio
from pymmio.errors import DmaError
from pymmio.handle import DmaHandle, Iova
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.s390x.raw import Buffer, page_buffer

FOUR_GIB = 1 << 32
GUEST_BYTES = 1 << 30  # of guests.S390X
PAGE = mmap.PAGESIZE


@case(guest="s390x", timeout_s=120)
def case_aperture_starts_at_4_gib_and_is_as_big_as_memory() -> None:
    with bound_to_vfio(NVME) as function:
        assert not Path("/dev/iommu").exists()
        with pymmio.open_device(f"vfio:{function.address}") as device:
            (aperture,) = device.handle.dma.iova_ranges
            assert (aperture.first, aperture.last) == (FOUR_GIB, FOUR_GIB + GUEST_BYTES - 1)
            with device.dma.alloc(PAGE) as buffer:
                assert aperture.first <= buffer.iova <= aperture.last


@case(guest="s390x", timeout_s=120)
def case_addresses_outside_are_refused() -> None:
    memory = page_buffer()
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}") as device:
            dma = device.handle.dma
            for iova in (0, FOUR_GIB - PAGE, FOUR_GIB + GUEST_BYTES):
                assert f"{FOUR_GIB:#x}" in _refusal(dma, iova, memory)


def _refusal(dma: DmaHandle, iova: int, memory: Buffer) -> str:
    try:
        dma.map(Iova(iova), PAGE, address=memory.address, fd=-1, fd_offset=0)
    except DmaError as error:
        return str(error)
    raise AssertionError(f"{iova:#x} was mapped")
