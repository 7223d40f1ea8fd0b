"""Memory that a backend has already: a device that reaches one file, and no other."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pymmio.handle import Iova

__all__ = ["ProvidesMemory"]


@runtime_checkable
class ProvidesMemory(Protocol):
    """What a DmaHandle has beside ``map`` where buffers had better be pieces of its own memory.

    ``map`` must take other memory as well: who wraps a handle need not know of this.
    """

    def memory_at(self, iova: Iova, size: int) -> tuple[int, int]:
        """Return (descriptor, offset in it) of zeroed memory that can be mapped at ``iova``.

        Whole pages of a sealed memfd, of which the caller duplicates the descriptor.  Raises
        DmaError where there is none, or somebody has it.
        """
        ...
