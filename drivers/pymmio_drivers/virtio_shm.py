"""Shared-memory regions of any virtio device: what there is, and its memory (virtio 1.2 §2.10).

The host-visible memory of virtio-gpu, the window of virtio-fs, the memory of virtio-pmem.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from pymmio import Device
from pymmio.dax import DaxMemory, Durability, memory_of
from pymmio.owner import Owner
from pymmio.pci import PciMatch
from pymmio.virtio import SharedMemoryInfo, VirtioDevice

__all__ = ["MATCH", "VirtioSharedMemory"]

_GPU, _FS = 16, 26  # virtio 1.2 §5

MATCH = tuple(
    PciMatch(vendor_id=0x1AF4, device_id=0x1040 + device_type) for device_type in (_GPU, _FS)
)

_NAMES = {
    (_GPU, 1): "host visible",  # VIRTIO_GPU_SHM_ID_HOST_VISIBLE, §5.7
    (_FS, 0): "DAX window",  # §5.11
    (27, 0): "persistent memory",  # §5.19
}


class VirtioSharedMemory(Owner):
    """The regions of a device, which is neither reset nor started: another driver may have it.

    Close it, or use it in a ``with`` statement; mapped memory goes with it.
    """

    def __init__(self, virtio: VirtioDevice) -> None:
        """Not for callers: use :meth:`open`."""
        self.virtio = virtio
        self.name = virtio.name
        self._mapped: dict[int, DaxMemory] = {}

    @classmethod
    def open(cls, device: str | Device) -> Self:
        """Open a device by URI, or take an open one, which is closed with this."""
        return cls(VirtioDevice.open(device))

    @property
    def regions(self) -> Sequence[SharedMemoryInfo]:
        """The regions, by id; none for most devices."""
        return self.virtio.shared_memory()

    def purpose(self, id: int) -> str:
        """Return what the specification says that a region is for, "" if nothing."""
        return _NAMES.get((self.virtio.transport.device_type, id), "")

    def map(self, id: int) -> DaxMemory:
        """Return the memory of a region; the same object each time.

        Plain bytes where the mapping is cached, else a device's memory that is copied by
        aligned accesses.  Raises DeviceNotFound where there is no such region, ProtocolError
        where it does not lie inside its BAR.
        """
        if id not in self._mapped:
            region = self.virtio.shm_region(id)
            self._mapped[id] = memory_of(
                region, name=f"{self.name} shared memory {id}", durability=Durability.NONE
            )
        return self._mapped[id]

    def close(self) -> None:
        """Unmap and give the device back; closing twice is fine."""
        mapped, self._mapped = self._mapped, {}
        with ExitStack() as stack:
            stack.callback(self.virtio.close)
            for memory in mapped.values():
                stack.callback(memory.close)
