"""How the memory of a virtio-pmem device is reached from this machine, and why not otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio import Device
from pymmio.dax import DaxMemory, Durability, memory_of, open_path, physical_memory
from pymmio.errors import ProtocolError, PymmioError, Unsupported
from pymmio.virtio import Feature, VirtioDevice

__all__ = ["SHMEM_REGION", "Reached", "reach_memory"]

SHMEM_REGION = Feature(0, "VIRTIO_PMEM_F_SHMEM_REGION")  # virtio 1.2 §5.19.3

_SHMEM_ID = 0
_START, _SIZE = 0, 8  # struct virtio_pmem_config


@dataclass(frozen=True, slots=True)
class Reached:
    """The memory, and the way that was taken, in words."""

    memory: DaxMemory
    way: str


def reach_memory(virtio: VirtioDevice, device: Device, path: str | None) -> Reached:
    """Return the memory of a device whose features were negotiated.

    ``path`` names a device that the kernel made of it.  A shared-memory region is reached
    through its BAR, without any other privilege.  Else the memory lies at an address of the
    machine, and is reached through /dev/mem, or as the backend can.  Raises Unsupported that
    says which ways there are and why each is closed.
    """
    if path is not None:
        return Reached(open_path(path), f"{path}, which the kernel made of it")
    name = f"{device.name} memory"
    if SHMEM_REGION in virtio.features:
        region = virtio.shm_region(_SHMEM_ID)
        memory = memory_of(region, name=name, durability=Durability.FLUSH)
        return Reached(memory, "shared-memory region 0")
    start, size = virtio.config.consistent(
        lambda: (virtio.config.read64(_START), virtio.config.read64(_SIZE))
    )
    if not size or start + size > 1 << 64:
        raise ProtocolError(
            f"{virtio.name}: memory of {size:#x} bytes at {start:#x} is not possible",
            hint="The device is at fault",
        )
    try:
        memory = physical_memory(device, start, size, name=name, durability=Durability.FLUSH)
        return Reached(memory, f"physical memory at {start:#x}")
    except PymmioError as error:
        raise Unsupported(
            f"{device.name}: its {size:#x} bytes lie at {start:#x}, where no BAR leads,"
            f" and they cannot be reached: {error}",
            hint="Offer VIRTIO_PMEM_F_SHMEM_REGION, or give memory= the path of a device that the"
            " kernel made of it, such as /dev/pmem0 or /dev/dax0.0",
        ) from error
