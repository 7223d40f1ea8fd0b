"""What stands in front of another DmaHandle, and does some of its work in another way."""

from __future__ import annotations

from collections.abc import Sequence

from pymmio.handle import DmaHandle, Iova, IovaRange

__all__ = ["DmaInFront"]


class DmaInFront:
    """A :class:`~pymmio.handle.DmaHandle` that hands on to ``inner`` what that must have."""

    def __init__(self, inner: DmaHandle) -> None:
        self.inner = inner

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """The usable addresses."""
        return self.inner.iova_ranges

    @property
    def page_size(self) -> int:
        """Smallest mapping, in bytes."""
        return self.inner.page_size

    @property
    def max_mappings(self) -> int:
        """How many mappings may exist at once."""
        return self.inner.max_mappings

    @property
    def pins_memory(self) -> bool:
        """Whether mapped memory counts against RLIMIT_MEMLOCK."""
        return self.inner.pins_memory

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Give the device memory."""
        self.inner.map(iova, size, address=address, fd=fd, fd_offset=fd_offset)

    def unmap(self, iova: Iova, size: int) -> None:
        """Take it away."""
        self.inner.unmap(iova, size)
