"""Give a device memory, and take it away again."""

from __future__ import annotations

import mmap
import threading
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from pymmio import forks
from pymmio.dma.allocation import Allocation
from pymmio.dma.budget import Budget
from pymmio.dma.buffer import DmaBuffer
from pymmio.dma.iova import IovaAllocator, require_alignment, round_up
from pymmio.dma.memory import SharedMemory
from pymmio.dma.placed import PlacesMemory, TellsTranslation
from pymmio.dma.provided import ProvidesMemory
from pymmio.dma.refused import RefusesDma
from pymmio.errors import (
    BadArgument,
    Closed,
    DmaError,
    ForkedObject,
    IovaExhausted,
    MappingLimit,
    Unsupported,
)
from pymmio.handle import DmaHandle, Iova, IovaRange
from pymmio.owner import Owner

__all__ = ["DmaSpace"]

_stranded: list[Allocation] = []
"""Memory that could not be taken away from a device: never freed, the device may write to it."""


class DmaSpace(Owner):
    """The addresses that a device can reach, and the memory behind them.

    Several devices may share one: each further one joins, and each of them leaves when it is
    closed.  With the last one all memory is taken away; until then a buffer stays until it is
    closed, whichever device it was allocated for.

    ``handle`` is the backend's; usable addresses, page size and the limit on mappings come from
    it.  ``name`` is for messages.  The page at address 0 is never used: descriptors that were
    not filled in point there, and must fault.

    Safe for threads.  ``close`` must come after bus mastering was switched off, which
    ``Device.close`` does.
    """

    def __init__(
        self, handle: DmaHandle, *, budget: Budget | None = None, name: str = "device"
    ) -> None:
        self.name = name
        self.budget = budget if budget is not None else Budget()
        self._handle = handle
        self._page_size = max(handle.page_size, mmap.PAGESIZE)
        self._iovas = IovaAllocator(
            _without_null(handle.iova_ranges, self._page_size), page_size=self._page_size
        )
        self._allocations: dict[int, Allocation] = {}
        self._lock = threading.RLock()
        self._users = 1
        self._is_closed = False
        self._is_forked = False
        forks.track(self)

    @property
    def page_size(self) -> int:
        """Smallest mapping and alignment, in bytes."""
        return self._page_size

    @property
    def translates(self) -> bool:
        """Whether the device sees other addresses than the machine has: an IOMMU is between."""
        if isinstance(self._handle, TellsTranslation):
            return self._handle.translates
        return not isinstance(self._handle, PlacesMemory)

    @property
    def closed(self) -> bool:
        """Whether the space was closed, or belongs to the parent process."""
        return self._is_closed or self._is_forked

    @property
    def users(self) -> int:
        """How many devices use the space."""
        return self._users

    @property
    def is_usable(self) -> bool:
        """Whether the backend gives the device memory at all."""
        return not isinstance(self._handle, RefusesDma)

    def require_usable(self) -> None:
        """Raise, with the reason, where the backend gives the device no memory at all.

        For drivers that need DMA, before they touch the device.  Raises Unsupported.
        """
        if isinstance(self._handle, RefusesDma):
            raise self._handle.why_no_dma()

    def join(self) -> None:
        """Count one device more, which the backend has attached; for ``Device``.

        Addresses that it cannot reach are not handed out any more.  Raises Closed, and
        Unsupported where the device needs larger pages than the space was made for.
        """
        with self._lock:
            self._require_open()
            if self._handle.page_size > self._page_size:
                raise Unsupported(
                    f"a device that joins {self.name} needs pages of {self._handle.page_size}"
                    f" bytes, and its DMA space was made for {self._page_size}",
                    hint="Open that device first, then the others with share_dma_with=",
                )
            self._iovas.restrict(_without_null(self._handle.iova_ranges, self._page_size))
            self._users += 1

    def leave(self) -> None:
        """Count one device less; with the last one close, and raise what ``close`` raises."""
        with self._lock:
            if self.closed:
                return
            self._users -= 1
            if self._users == 0:
                self.close()

    @property
    def mapped_bytes(self) -> int:
        """How much memory the device can reach now, in bytes."""
        return sum(allocation.size for allocation in list(self._allocations.values()))

    def alloc(
        self,
        size: int,
        *,
        align: int | None = None,
        hugepages: bool = False,
        address_bits: int = 64,
    ) -> DmaBuffer:
        """Allocate zeroed memory that the program and the device can both reach.

        ``size`` in bytes becomes ``len()`` of the buffer; the mapping is rounded up to whole
        pages.  ``align`` is the alignment of the iova, a power of two, at least a page.
        ``hugepages`` takes the memory from the pool of huge pages, rounded up and aligned to
        their size.  ``address_bits`` is for devices that have fewer than 64 address lines.
        Without an IOMMU the memory always comes from huge pages; a backend that has memory of
        its own gives that, huge pages or not.

        Raises Unsupported where the backend gives the device no memory, BudgetExceeded,
        MappingLimit or IovaExhausted before anything is mapped, DmaError
        if the kernel or the backend refuses; nothing is left behind then.
        """
        if size <= 0:
            raise BadArgument(f"size {size} is not positive", hint="Ask for at least one byte")
        if align is not None:
            require_alignment(align)
        with self._lock, ExitStack() as undo:
            self._require_open()
            self.require_usable()
            is_placed = isinstance(self._handle, PlacesMemory)
            hugepages = hugepages or is_placed
            unit = self._check(size, hugepages)
            length = round_up(size, unit)
            if not is_placed:
                iova = self._iovas.allocate(
                    length, align=max(align or unit, unit), limit=1 << address_bits
                )
                undo.callback(self._iovas.free, iova)
            if isinstance(self._handle, ProvidesMemory):
                piece = self._handle.memory_at(iova, length)
                memory = SharedMemory(length, piece_of=piece)
            else:
                memory = SharedMemory(length, hugepages=hugepages)
            undo.callback(memory.close)
            if isinstance(self._handle, PlacesMemory):
                memory.populate(unit)
                iova = self._handle.place(memory.address, length)
                _require_fit(iova, length, align, address_bits)
            allocation = Allocation(memory, iova, self._lock)
            undo.callback(allocation.abandon)
            buffer = DmaBuffer(allocation, self._free, 0, size)
            self._handle.map(
                iova, length, address=memory.address, fd=memory.fd, fd_offset=memory.offset
            )
            undo.pop_all()  # mapping is the last step that can fail
            self._allocations[iova] = allocation
            allocation.is_mapped = True
            return buffer

    def owns(self, buffer: DmaBuffer) -> bool:
        """Whether ``buffer``, or what it is a part of, came from this space and is not closed.

        An iova means something to one device only: drivers ask before they hand it on.
        """
        allocation = buffer._allocation
        return self._allocations.get(allocation.iova) is allocation

    def close(self) -> None:
        """Take all memory away from the device and free it; closing twice is fine.

        Where devices share the space it is taken away from all of them.

        Buffers that are held are closed too: the caller has stopped the device.  Exported
        memoryviews stay valid, and so does memory that is held; it is freed with the last
        memoryview, and after ``release``.  Raises DmaError if
        the backend could not unmap some; these are never freed, the device may write to them.
        In a forked child it does nothing.
        """
        with self._lock:
            if self.closed:
                return
            self._is_closed = True
            errors: list[Exception] = []
            count = len(self._allocations)
            try:
                for allocation in list(self._allocations.values()):
                    allocation.abandon()
                    try:
                        self._unmap(allocation)
                    except Exception as error:  # the others must still be unmapped
                        errors.append(error)
            finally:
                self._strand()
        if errors:
            raise DmaError(
                f"{len(errors)} of {count} DMA buffers could not be taken away from {self.name}:"
                f" {errors[0]}",
                hint="Their memory stays allocated until this program ends",
            ) from errors[0]

    def _free(self, allocation: Allocation) -> None:
        """Close one buffer; a second call does nothing, nor does one in a forked child."""
        with self._lock:
            if self.closed or self._allocations.get(allocation.iova) is not allocation:
                return
            if allocation.is_usable:
                allocation.seal()
            self._unmap(allocation)

    def _unmap(self, allocation: Allocation) -> None:
        self._handle.unmap(allocation.iova, allocation.size)
        allocation.is_mapped = False
        del self._allocations[allocation.iova]
        if self._iovas.is_taken(allocation.iova):  # not where the memory's place decides
            self._iovas.free(allocation.iova)
        allocation.memory.close()  # last: until here the device may have written to it

    def _strand(self) -> None:
        """Keep what is still mapped for ever: the device may write to it."""
        _stranded.extend(self._allocations.values())
        self._allocations.clear()

    def _check(self, size: int, hugepages: bool) -> int:
        """Check limits and budget; return the unit, in bytes, that sizes are rounded up to."""
        if len(self._allocations) >= self._handle.max_mappings:
            raise MappingLimit(
                f"{self.name} has {len(self._allocations)} DMA mappings, which is the limit",
                hint="Close buffers, or cut small pieces from one buffer with DmaPool",
            )
        facts = self.budget.facts()
        unit = self._page_size
        if hugepages:
            if not facts.hugepage_size:
                raise Unsupported(
                    "this kernel has no huge pages", hint="Allocate with hugepages=False"
                )
            unit = max(unit, facts.hugepage_size)
        self.budget.check(
            round_up(size, unit),
            held=self.mapped_bytes,
            pins_memory=self._handle.pins_memory,
            facts=facts,
            hugepages=hugepages,
        )
        return unit

    def _require_open(self) -> None:
        if self._is_forked:
            raise ForkedObject(
                f"the DMA space of {self.name} belongs to the parent process",
                hint="Open the device in the child",
            )
        if self._is_closed:
            raise Closed(f"the DMA space of {self.name} is closed", hint="Open the device again")

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._is_forked = True
        for allocation in self._allocations.values():
            allocation.after_fork(self._lock)

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __del__(self) -> None:
        # Attributes may be missing when __init__ failed.
        if getattr(self, "_allocations", None) and not self.closed:
            left = self.mapped_bytes
            self._strand()  # first: a warning may be an exception
            warnings.warn(
                f"the DMA space of {self.name} was not closed; {left} bytes stay"
                " mapped until this program ends",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


def _require_fit(iova: Iova, size: int, align: int | None, address_bits: int) -> None:
    """Raise IovaExhausted where memory lies in a place that was not asked for."""
    if iova + size > 1 << address_bits or (align and iova % align):
        raise IovaExhausted(
            f"without an IOMMU the memory lies at {iova:#x}, and an address of {address_bits} bits"
            f" aligned to {align or 1:#x} was asked for",
            hint="Ask for a smaller alignment; a device with few address lines needs an IOMMU",
        )


def _without_null(ranges: Sequence[IovaRange], page_size: int) -> list[IovaRange]:
    return [
        IovaRange(max(usable.first, page_size), usable.last)
        for usable in ranges
        if usable.last >= page_size
    ]
