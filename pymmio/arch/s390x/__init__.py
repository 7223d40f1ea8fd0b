"""s390x: facts.  Source: z/Architecture Principles of Operation, SA22-7832-13.

PCI memory is not in the address space of ordinary instructions: an access is a PCI memory-I/O
instruction (``mio.h``) or a system call (``syscalls.h``).
"""

from __future__ import annotations

from pymmio.arch.base import Arch, Barrier

ARCH = Arch(
    name="s390x",
    byteorder="big",
    mmio="mio",
    has_accessors=True,
    access="PCILGI, PCISTGI (Linux 6.15 arch/s390/pci/pci_mmio.c), else system calls 353, 352",
    barriers=(
        Barrier("dma_wmb", "memory stores, then MMIO store", "(compiler)", "SA22-7832-13, 5-119"),
        Barrier("dma_rmb", "status read, then memory loads", "(compiler)", "SA22-7832-13, 5-119"),
        Barrier("dma_mb", "all before, all after", "BCR 15,0", "SA22-7832-13, 5-133"),
        Barrier(
            "mmio_wmb",
            "write-combining stores, MMIO store",
            "BCR 15,0; PCIWB",
            "SA22-7832-13, 5-133; Linux 6.15 arch/s390/include/asm/io.h",
        ),
    ),
)
