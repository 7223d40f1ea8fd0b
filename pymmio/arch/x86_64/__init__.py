"""x86_64: facts.

Sources: Intel SDM volume 3A (253668-081) and 2B (253667-081); AMD64 APM volume 2 (24593-3.41).
"""

from __future__ import annotations

from pymmio.arch.base import Arch, Barrier

ARCH = Arch(
    name="x86_64",
    byteorder="little",
    mmio="load/store",
    has_accessors=True,
    access="MOV, one register (SDM vol. 3A, 9.1.1)",
    barriers=(
        Barrier("dma_wmb", "memory stores, then MMIO store", "(compiler)", "SDM vol. 3A, 9.2.2"),
        Barrier("dma_rmb", "status read, then memory loads", "(compiler)", "SDM vol. 3A, 9.2.2"),
        Barrier("dma_mb", "all before, all after", "MFENCE", "SDM vol. 2B, MFENCE"),
        Barrier("mmio_wmb", "write-combining stores, MMIO store", "SFENCE", "SDM vol. 3A, 12.3.1"),
    ),
)
