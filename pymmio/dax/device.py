"""A DAX device: memory, how it becomes durable, and what may be mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pymmio.dax.bounds import PAGE_SIZE, check_pages, check_range
from pymmio.dax.memory import DaxMemory, Durability
from pymmio.errors import Unsupported
from pymmio.owner import Owner

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DaxDevice"]


class DaxDevice(Owner):
    """Memory as the kernel's DAX operations see it, in bytes and pages of ``PAGE_SIZE``.

    ``persist`` makes a range durable; given to a device whose memory becomes so by a request,
    as virtio-pmem's does.  Close it, or use it in a ``with`` statement; the memory goes with it
    unless this is a partition.
    """

    def __init__(
        self,
        memory: DaxMemory,
        *,
        persist: Callable[[], object] | None = None,
        start: int = 0,
        size: int | None = None,
        owns_memory: bool = True,
    ) -> None:
        """``persist`` flushes all of the memory; needed where its durability is FLUSH.

        Raises Misaligned for a partition that does not start and end at a page, Unsupported
        where nobody can make the memory durable.
        """
        self.memory = memory
        self.size = memory.size - start if size is None else size
        self.name = (
            memory.name
            if not start and self.size == memory.size
            else (f"{memory.name}[{start:#x}:{start + self.size:#x}]")
        )
        check_range(memory.name, memory.size, start, self.size)
        check_pages(memory.name, "unaligned partition for DAX", start=start, size=self.size)
        if memory.durability is Durability.FLUSH and persist is None:
            raise Unsupported(
                f"{memory.name} becomes durable by a request only, and nobody was named for it",
                hint="Give persist=, such as the flush method of the driver",
            )
        self._start = start
        self._persist = persist
        self._owns_memory = owns_memory

    @property
    def page_count(self) -> int:
        """How many pages there are."""
        return self.size // PAGE_SIZE

    @property
    def synchronous(self) -> bool:
        """Whether writing caches back is enough, as for mappings with MAP_SYNC."""
        return self.memory.durability is Durability.WRITE_BACK

    @property
    def is_dereferenceable(self) -> bool:
        """Whether ``direct_access`` is possible."""
        return self.memory.is_dereferenceable

    def direct_access(self, page: int, count: int) -> memoryview:
        """Return ``count`` pages from ``page`` on as bytes; release the view before ``close``.

        Raises Unsupported, with the reason, where the memory may not be dereferenced.
        """
        check_range(self.name, self.size, page * PAGE_SIZE, count * PAGE_SIZE)
        return self.memory.view(self._start + page * PAGE_SIZE, count * PAGE_SIZE)

    def read_into(self, offset: int, target: Buffer, *, machine_check_safe: bool = True) -> int:
        """Fill ``target`` from ``offset`` on.  Raises MediaError with what was not copied.

        Without ``machine_check_safe`` a bad page of plain memory is a SIGBUS of the program.
        """
        check_range(self.name, self.size, offset, _size(target))
        return self.memory.read_into(
            self._start + offset, target, machine_check_safe=machine_check_safe
        )

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes at ``offset``."""
        check_range(self.name, self.size, offset, size)
        data = bytearray(size)
        self.read_into(offset, data)
        return bytes(data)

    def write_from(
        self, offset: int, data: Buffer, *, nocache: bool = False, machine_check_safe: bool = True
    ) -> int:
        """Write ``data`` at ``offset``.  Raises MediaError with what was not copied.

        ``nocache`` passes the processor's caches by; where that makes memory durable, it is
        when this returns.  ``machine_check_safe`` is as in ``read_into``.
        """
        check_range(self.name, self.size, offset, _size(data))
        return self.memory.write_from(
            self._start + offset, data, nocache=nocache, machine_check_safe=machine_check_safe
        )

    def zero(self, page: int, count: int) -> None:
        """Write zeros to ``count`` pages from ``page`` on."""
        check_range(self.name, self.size, page * PAGE_SIZE, count * PAGE_SIZE)
        self.memory.zero(self._start + page * PAGE_SIZE, count * PAGE_SIZE)

    def persist(self, offset: int = 0, size: int | None = None) -> None:
        """Make a range, or everything, durable; returns when it is.

        Where a request does it, the request is for all of the memory, and writing caches back
        is neither needed nor enough.
        """
        size = self.size - offset if size is None else size
        check_range(self.name, self.size, offset, size)
        if self._persist is not None:
            self._persist()
        else:
            self.memory.persist(self._start + offset, size)

    def partition(self, start: int, size: int | None = None) -> DaxDevice:
        """Return a part as a device of its own, which closes nothing of this one.

        Raises Misaligned where start or end is not that of a page.
        """
        size = self.size - start if size is None else size
        check_range(self.name, self.size, start, size)
        return DaxDevice(
            self.memory,
            persist=self._persist,
            start=self._start + start,
            size=size,
            owns_memory=False,
        )

    def close(self) -> None:
        """Close the memory, unless this is a partition."""
        if self._owns_memory:
            self.memory.close()

    def __repr__(self) -> str:
        return f"<DaxDevice {self.name}: {self.size:#x} bytes, {self.memory.durability}>"


def _size(data: Buffer) -> int:
    with memoryview(data) as view:
        return view.nbytes
