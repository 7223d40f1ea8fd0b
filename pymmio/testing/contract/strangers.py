"""A device of a backend that nobody knows, as seen by ``share_dma_with``."""

from __future__ import annotations

from pymmio.device import Device
from pymmio.dma import DmaSpace

__all__ = ["Stranger"]


class _StrangeHandle:
    name = "a stranger"


class Stranger:
    """Stands where an open device stands; only its handle and its memory are looked at."""

    def __init__(self, device: Device) -> None:
        self.name = _StrangeHandle.name
        self.handle = _StrangeHandle()
        self.dma: DmaSpace = device.dma

    def _require_open(self) -> None:
        return
