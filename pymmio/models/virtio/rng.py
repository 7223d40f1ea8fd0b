"""The entropy device (virtio 1.2 §5.4): each buffer comes back filled with random bytes."""

from __future__ import annotations

import os

from pymmio.models.options import as_int, refuse_unknown
from pymmio.models.virtio.device import VirtioModel
from pymmio.models.virtio.ring import Chain

__all__ = ["VirtioRngModel"]


class VirtioRngModel(VirtioModel):
    """One queue; ``most`` limits how many bytes a buffer gets at once."""

    device_type = 4

    def __init__(self, *, most: str | int = 1 << 20, **unknown: str) -> None:
        refuse_unknown("virtio-rng", unknown, ("most",))
        self.most = as_int("most", most, low=1)
        super().__init__()

    def config_bytes(self) -> bytes:
        """The device has no configuration."""
        return b""

    def serve(self, queue: int, chain: Chain) -> int:
        """Fill the buffer."""
        size = sum(length for _, length in chain.writable)
        return chain.write(self.host, os.urandom(min(size, self.most)))
