"""Persistent memory of virtual machines: the virtio-pmem device (virtio 1.2 §5.19)."""

from pymmio.pci import PciMatch
from pymmio_drivers.virtio_pmem.errors import FlushError
from pymmio_drivers.virtio_pmem.flush import FlushFuture, FlushResult
from pymmio_drivers.virtio_pmem.pmem import VirtioPmem
from pymmio_drivers.virtio_pmem.reach import SHMEM_REGION

__all__ = ["MATCH", "SHMEM_REGION", "FlushError", "FlushFuture", "FlushResult", "VirtioPmem"]

MATCH = (PciMatch(vendor_id=0x1AF4, device_id=0x105B),)
