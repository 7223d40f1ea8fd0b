"""A virtio device that has nothing but shared-memory regions (virtio 1.2 §2.10)."""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.backend.model import BarSpec
from pymmio.errors import UriError
from pymmio.models.options import as_int, as_size, refuse_unknown
from pymmio.models.virtio.device import SharedMemory, VirtioModel
from pymmio.models.virtio.ring import Chain

__all__ = ["VirtioShmModel"]

_BAR = 2
_PAGE = 4096


class VirtioShmModel(VirtioModel):
    """``count`` regions of ``size`` bytes each, with the ids ``first``, ``first + 1``...

    They lie one behind the other in BAR 2.  The queue gives buffers back as they are.  A
    conventional PCI function, for the list of capabilities has room for few.
    """

    is_pcie = False

    def __init__(
        self,
        *,
        count: str | int = 2,
        size: str | int = "64K",
        first: str | int = 0,
        device_type: str | int = 16,
        **unknown: str,
    ) -> None:
        refuse_unknown("virtio-shm", unknown, ("count", "device_type", "first", "size"))
        self.count = as_int("count", count, low=1, high=4)
        self.size = as_size("size", size)
        if self.size % _PAGE:
            raise UriError(f"option size={size}: {self.size} bytes are not whole pages")
        start = as_int("first", first, high=255 - self.count)
        self.device_type = as_int("device_type", device_type, low=1, high=63)
        self.shared_memory = tuple(
            SharedMemory(start + i, _BAR, i * self.size, self.size) for i in range(self.count)
        )
        super().__init__()

    def extra_bars(self) -> Sequence[BarSpec]:
        """Return the BAR of the memory."""
        room = 1 << (self.count * self.size - 1).bit_length()
        return (BarSpec(_BAR, room, prefetchable=True, ram=True),)

    def config_bytes(self) -> bytes:
        """There is no configuration."""
        return b""

    def serve(self, queue: int, chain: Chain) -> int:
        """Give the buffer back."""
        return 0
