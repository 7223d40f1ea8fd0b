"""aarch64: facts.  Source: Arm Architecture Reference Manual, DDI 0487J.a."""

from __future__ import annotations

from pymmio.arch.base import Arch, Barrier

ARCH = Arch(
    name="aarch64",
    byteorder="little",
    mmio="load/store",
    has_accessors=True,
    access="LDR/STR, one register, plain base (DDI 0487J.a, B2.2.1)",
    barriers=(
        Barrier("dma_wmb", "memory stores, then MMIO store", "DMB OSHST", "DDI 0487J.a, B2.3.7"),
        Barrier("dma_rmb", "status read, then memory loads", "DMB OSHLD", "DDI 0487J.a, B2.3.7"),
        Barrier("dma_mb", "all before, all after", "DMB OSH", "DDI 0487J.a, B2.3.7"),
        Barrier("mmio_wmb", "write-combining stores, MMIO store", "DSB ST", "DDI 0487J.a, B2.3.7"),
    ),
)
