"""How a virtio device is reached: PCI now; mmio and ccw have their place."""

from pymmio.virtio.transport.base import QueueAddresses, SharedMemoryInfo, Transport
from pymmio.virtio.transport.pci import PciTransport

__all__ = ["PciTransport", "QueueAddresses", "SharedMemoryInfo", "Transport"]
