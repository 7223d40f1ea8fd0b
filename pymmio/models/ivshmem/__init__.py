"""Inter-VM shared memory: the device, and the server that brings its peers together."""

from pymmio.models.ivshmem.device import IvshmemModel
from pymmio.models.ivshmem.server import IvshmemServer

__all__ = ["IvshmemModel", "IvshmemServer"]
