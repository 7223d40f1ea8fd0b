"""The virtio core and the DAX layer over zPCI: big-endian, where memory cannot be dereferenced."""

from __future__ import annotations

import os

from pymmio import open_device
from pymmio.dax import DaxDevice, Durability, memory_of
from pymmio.errors import Unsupported
from pymmio.handle import Access
from pymmio.virtio import EVENT_IDX, INDIRECT_DESC, RING_PACKED, VirtioDevice
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio

RNG = (0x1AF4, 0x1044)
CMB = 2  # BAR of the controller's memory buffer
WAYS = ("syscall", "pread")


def fill_buffers(address: str, access: str, ring: str) -> None:
    """Let an entropy device fill buffers, several times around its ring."""
    wanted = [EVENT_IDX, INDIRECT_DESC, *([RING_PACKED] if ring == "packed" else [])]
    with open_device(f"vfio:{address}", access=access) as device:
        with VirtioDevice.open(device, device_type=4) as rng:
            rng.start({0: 8}, wanted=wanted)
            assert (RING_PACKED in rng.features) == (ring == "packed")
            buffer = rng.dma.alloc(4096)
            for _ in range(20):
                sent = rng.queues[0].submit((), [buffer[0:100], buffer[200:228]])
                assert rng.queues[0].wait(sent, 20.0) == 128
            assert bytes(buffer)[:100] != bytes(100)
            assert bytes(buffer)[100:200] == bytes(100)


@case(
    guest="s390x",
    timeout_s=120,
    params=tuple(f"{w}-{r}" for w in WAYS for r in ("split", "packed")),
)
def case_queues_over_zpci(mode: str) -> None:
    access, ring = mode.split("-")
    with bound_to_vfio(RNG) as function:
        fill_buffers(function.address, access, ring)


@case(guest="s390x", timeout_s=120, params=WAYS)
def case_dax_over_a_bar_that_cannot_be_dereferenced(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        with open_device(f"vfio:{function.address}", access=access) as device:
            region = device.region(CMB)
            assert region.access is Access(access)
            memory = memory_of(region, durability=Durability.NONE)
            assert not memory.is_dereferenceable
            with DaxDevice(memory) as dax:
                data = os.urandom(5000)
                for offset in (0, 1, 4090, 12347):
                    dax.write_from(offset, data)
                    assert dax.read(offset, len(data)) == data
                dax.zero(1, 1)
                assert dax.read(4096, 4096) == bytes(4096)
                try:
                    dax.direct_access(0, 1)
                except Unsupported as error:
                    why = str(error)
                assert "may not be dereferenced" in why
