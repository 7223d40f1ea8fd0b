"""s390x: facts.  Source: z/Architecture Principles of Operation, SA22-7832-13.

PCI memory is not in the address space of ordinary instructions.  The accessors (PCI MIO
instructions, or system calls) are not there yet; each access says so.
"""

from __future__ import annotations

from pymmio.arch.base import Arch, Barrier

ARCH = Arch(
    name="s390x",
    byteorder="big",
    mmio="mio",
    has_accessors=False,
    access="none yet: needs PCI MIO instructions or the system calls 352 and 353",
    barriers=(
        Barrier("dma_wmb", "memory stores, then MMIO store", "(compiler)", "SA22-7832-13, 5-119"),
        Barrier("dma_rmb", "status read, then memory loads", "(compiler)", "SA22-7832-13, 5-119"),
        Barrier("dma_mb", "all before, all after", "BCR 15,0", "SA22-7832-13, 5-133"),
        Barrier(
            "mmio_wmb", "write-combining stores, MMIO store", "BCR 15,0", "SA22-7832-13, 5-133"
        ),
    ),
)
