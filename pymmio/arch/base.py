"""What pymmio knows about an architecture: facts that do not change while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Arch", "Barrier"]


@dataclass(frozen=True, slots=True)
class Barrier:
    """One barrier of ``io.h``: what it orders, the instruction, and where that is written."""

    name: str
    orders: str
    instruction: str
    source: str


@dataclass(frozen=True, slots=True)
class Arch:
    """An architecture: how device memory is reached and what each barrier means.

    ``mmio`` is "load/store" where a mapping is accessed by ordinary instructions, "mio"
    where it takes instructions or system calls of its own.  ``has_accessors`` is False
    where this version cannot access device memory yet.
    """

    name: str
    byteorder: Literal["little", "big"]
    mmio: Literal["load/store", "mio"]
    has_accessors: bool
    access: str
    barriers: tuple[Barrier, ...]
