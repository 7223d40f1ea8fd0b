"""Barriers for drivers in Python, named by the two accesses that each keeps in order.

Each is one call of the core; what it becomes stands in the facts of the architecture
(:class:`pymmio.arch.base.Barrier`).  Engines in C include ``pymmio/arch/io.h`` instead.
"""

from __future__ import annotations

from pymmio.arch import lib

__all__ = ["dma_mb", "dma_rmb", "dma_wmb", "mmio_wmb"]


def dma_wmb() -> None:
    """Make stores to DMA memory visible before a following write to the device (a doorbell)."""
    lib.pm_dma_wmb()


def dma_rmb() -> None:
    """Let a status read be done before following reads of DMA memory."""
    lib.pm_dma_rmb()


def dma_mb() -> None:
    """Keep all earlier memory accesses before all later ones, as devices see them."""
    lib.pm_dma_mb()


def mmio_wmb() -> None:
    """Let stores to write-combining mappings go out before following writes to the device."""
    lib.pm_mmio_wmb()
