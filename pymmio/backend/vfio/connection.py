"""What differs between the ways to reach a device: group and container, cdev and iommufd.

Everything else in this package (regions, interrupts, reset) needs a device descriptor and
nothing more.  A further way is one more class with this face, chosen in ``opening.py``.
"""

from __future__ import annotations

from typing import Protocol

from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.handle import DmaHandle

__all__ = ["Connection"]


class Connection(Protocol):
    """An open device and the address space that it is attached to, with others or alone."""

    @property
    def interface(self) -> str:
        """The way's name in URIs and messages: ``group``, ``cdev`` or ``noiommu``."""
        ...

    @property
    def device(self) -> Descriptor:
        """The device's descriptor, owned by the connection."""
        ...

    @property
    def dma(self) -> DmaHandle: ...

    def close(self) -> None:
        """Close the device, then take its address space down unless others are in it.

        Everything is released even where one step fails; then an error is raised.
        """
        ...

    def after_fork(self) -> None:
        """In a forked child: forget the parent's descriptors without touching the device."""
        ...
