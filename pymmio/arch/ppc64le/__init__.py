"""ppc64le: facts.  Source: Power ISA 3.0B, Book II."""

from __future__ import annotations

from pymmio.arch.base import Arch, Barrier

ARCH = Arch(
    name="ppc64le",
    byteorder="little",
    mmio="load/store",
    has_accessors=True,
    access="LBZ/LHZ/LWZ/LD, STB/STH/STW/STD, after EIEIO (Book II, 1.4 and 4.6.3)",
    barriers=(
        Barrier("dma_wmb", "memory stores, then MMIO store", "SYNC", "Book II, 4.6.3"),
        Barrier("dma_rmb", "status read, then memory loads", "SYNC", "Book II, 4.6.3"),
        Barrier("dma_mb", "all before, all after", "SYNC", "Book II, 4.6.3"),
        Barrier("mmio_wmb", "write-combining stores, MMIO store", "SYNC", "Book II, 4.6.3"),
    ),
)
