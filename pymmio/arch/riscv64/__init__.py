"""riscv64: facts.  Source: RISC-V Unprivileged ISA, document version 20191213."""

from __future__ import annotations

from pymmio.arch.base import Arch, Barrier

ARCH = Arch(
    name="riscv64",
    byteorder="little",
    mmio="load/store",
    has_accessors=True,
    access="LBU/LHU/LWU/LD, SB/SH/SW/SD, with a FENCE among I/O (20191213, 2.6 and 2.7)",
    barriers=(
        Barrier("dma_wmb", "memory stores, then MMIO store", "FENCE W,OW", "20191213, 2.7"),
        Barrier("dma_rmb", "status read, then memory loads", "FENCE IR,R", "20191213, 2.7"),
        Barrier("dma_mb", "all before, all after", "FENCE IORW,IORW", "20191213, 2.7"),
        Barrier("mmio_wmb", "write-combining stores, MMIO store", "FENCE OW,OW", "20191213, 2.7"),
    ),
)
