"""Devices that get no DMA memory at all, and why."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pymmio.errors import PymmioError

__all__ = ["RefusesDma"]


@runtime_checkable
class RefusesDma(Protocol):
    """What a DmaHandle has beside ``map`` where the backend gives a device no memory.

    Drivers that need DMA find out before they touch the device:
    :meth:`pymmio.dma.DmaSpace.require_usable`.
    """

    def why_no_dma(self) -> PymmioError:
        """Return what is raised by whoever asks for memory: the reason and the next step."""
        ...
