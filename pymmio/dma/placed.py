"""Memory whose device address follows from where it lies: machines without an IOMMU."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pymmio.handle import Iova

__all__ = ["PlacesMemory", "TellsTranslation"]


@runtime_checkable
class PlacesMemory(Protocol):
    """What a DmaHandle has beside ``map`` where nobody translates addresses.

    Memory for it is always taken from huge pages, which the kernel neither swaps nor moves
    about on its own.
    """

    def place(self, address: int, size: int) -> Iova:
        """Return the address at which a device finds the ``size`` bytes at ``address``.

        The memory is there (each page was written to).  Raises DmaError where it is not
        contiguous for the device, PermissionRefused where the kernel does not tell.
        """
        ...


@runtime_checkable
class TellsTranslation(Protocol):
    """What a DmaHandle has beside ``map`` where it can say what its addresses are."""

    @property
    def translates(self) -> bool:
        """Whether the device's addresses are others than the machine's."""
        ...
