"""Memory that several virtual machines share, and doorbells between them (ivshmem)."""

from pymmio.pci import PciMatch
from pymmio_drivers.ivshmem.channel import Channel
from pymmio_drivers.ivshmem.device import REGISTERS, Ivshmem

__all__ = ["MATCH", "REGISTERS", "REGISTER_BAR", "Channel", "Ivshmem"]

MATCH = (PciMatch(vendor_id=0x1AF4, device_id=0x1110),)
REGISTER_BAR = 0
