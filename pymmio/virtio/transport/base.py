"""What a transport does for a virtio device (virtio 1.2 §4), whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pymmio.handle import Iova
from pymmio.irq import Interrupt
from pymmio.mmio import Region
from pymmio.mmio.doorbell import Doorbell
from pymmio.virtio.features import FeatureSet
from pymmio.virtio.status import DeviceStatus

__all__ = ["QueueAddresses", "SharedMemoryInfo", "Transport"]


@dataclass(frozen=True, slots=True)
class QueueAddresses:
    """Where the device finds the three areas of a virtqueue (§2.6)."""

    descriptors: Iova
    driver: Iova
    device: Iova


@dataclass(frozen=True, slots=True)
class SharedMemoryInfo:
    """A shared-memory region (§2.10): its id, size in bytes, and where it is, in words."""

    id: int
    size: int
    where: str


class Transport(Protocol):
    """Registers of a device, named as virtio 1.2 names them; no policy and no memory.

    Widths: status and generation are read with the width that they have, configuration fields
    with the width that the caller names (1, 2 or 4 bytes; 64 bits are two 32-bit accesses).
    """

    @property
    def name(self) -> str:
        """What messages call the device."""
        ...

    @property
    def device_type(self) -> int:
        """The virtio device id (§5), such as 27 for virtio-pmem."""
        ...

    @property
    def queue_count(self) -> int: ...

    @property
    def is_translated(self) -> bool:
        """Whether the device sees other addresses than the machine's (an IOMMU)."""
        ...

    def read_status(self) -> DeviceStatus: ...

    def write_status(self, status: DeviceStatus) -> None: ...

    def read_features(self) -> FeatureSet:
        """Return what the device offers, 64 bits of it."""
        ...

    def write_features(self, features: FeatureSet) -> None: ...

    def read_generation(self) -> int:
        """Return a number that changes with the device's configuration (§2.5.1)."""
        ...

    @property
    def config_size(self) -> int:
        """Bytes of device-specific configuration, 0 if there is none."""
        ...

    def read_config(self, offset: int, width: int) -> int:
        """Read a field of 1, 2 or 4 bytes of the device-specific configuration."""
        ...

    def write_config(self, offset: int, width: int, value: int) -> None: ...

    def queue_size(self, index: int) -> int:
        """Return the largest size of a queue in descriptors, 0 if there is no such queue."""
        ...

    def enable_queue(self, index: int, size: int, where: QueueAddresses) -> Doorbell:
        """Tell the device where a queue is and switch it on; return how to notify it."""
        ...

    def enable_interrupts(self, queues: Sequence[int]) -> tuple[Interrupt, ...] | None:
        """Give each of these queues an interrupt, in their order; None where there is none.

        The first of what is returned is that of configuration changes, then one a queue; the
        same object stands for several where the device has fewer.  Before ``enable_queue``.
        """
        ...

    @property
    def is_level(self) -> bool:
        """Whether the interrupts stay asserted until they are acknowledged."""
        ...

    def disable_interrupts(self) -> None:
        """Switch off what ``enable_interrupts`` gave; who waits for it gets Closed."""
        ...

    def acknowledge_interrupt(self) -> int:
        """Deassert a level interrupt and return its causes: bit 0 queue, bit 1 configuration."""
        ...

    def shared_memory(self) -> Sequence[SharedMemoryInfo]:
        """Return the shared-memory regions that the device says it has, checked."""
        ...

    def open_shared_memory(self, id: int) -> Region:
        """Return a region over one of them.  Raises DeviceNotFound where there is none."""
        ...
