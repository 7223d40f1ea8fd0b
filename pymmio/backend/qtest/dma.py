"""The device's view of memory: RAM of the machine, lent to the callers' buffers."""

from __future__ import annotations

import bisect
import mmap
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pymmio import forks
from pymmio.backend.qtest.machine.iommu import Iommu
from pymmio.backend.qtest.machine.layout import RamPlan
from pymmio.backend.qtest.machine.memory import Ram
from pymmio.errors import DeviceGone, DmaError, ForkedObject
from pymmio.handle import Iova, IovaRange

__all__ = ["QtestDma"]


@dataclass(frozen=True, slots=True)
class _Mapping:
    """What was mapped at an IOVA.

    ``file`` tells whether the descriptor is still of the memory that is to come back, None where
    it was RAM from the start.
    """

    size: int
    address: int
    fd: int
    fd_offset: int
    file: tuple[int, int] | None


class QtestDma:
    """A :class:`~pymmio.handle.DmaHandle`; an IOVA is an address of the machine's RAM.

    QEMU maps its RAM once, when it starts.  So DmaSpace takes its buffers from there
    (:meth:`memory_at`).  Other memory becomes a piece of RAM when it is mapped: the pages behind
    its address are exchanged, and again when it is unmapped, with what they hold; meanwhile its
    descriptor shows the former ones.  It is mapped at one IOVA only.

    RAM that was used once goes back to the system when the device is closed.
    """

    page_size = 4096
    max_mappings = 65535
    pins_memory = False
    translates = False  # the IOMMU is a filter: addresses are the machine's

    def __init__(self, name: str, ram: Ram, plan: RamPlan, iommu: Iommu | None) -> None:
        """Without an IOMMU the device reaches all RAM, whether it was mapped or not."""
        self._name = name
        self._ram = ram
        self._plan = plan
        self._iommu = iommu
        self._lock = threading.Lock()
        self._mappings: dict[int, _Mapping] = {}
        self._iovas, self._addresses = _Ranges(), _Ranges()
        self._is_forked = False
        forks.track(self)

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """RAM but for its first MiB, and the tables of the IOMMU."""
        return self._plan.iova_ranges

    def memory_at(self, iova: Iova, size: int) -> tuple[int, int]:
        """Return the piece of RAM at ``iova``, zeroed; :meth:`map` may be called with it."""
        with self._lock:
            self._check(iova, size)
            offset = self._plan.offset_of(iova)
            self._ram.forget(offset, size)
            return self._ram.fd, offset

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Put RAM behind ``address`` and let the device reach it.

        Raises DmaError where it is not whole pages of free RAM, or memory that is mapped already.
        """
        with self._lock:
            self._check(iova, size)
            self._check_memory(address, size)
            offset = self._plan.offset_of(iova)
            file = _identity(fd)
            if file is None:
                raise DmaError(f"{self._name}: descriptor {fd} of memory to be mapped is closed")
            is_in_place = (file, fd_offset) == (_identity(self._ram.fd), offset)
            if not is_in_place:
                self._ram.lend(offset, size, address=address, fd=fd, fd_offset=fd_offset)
            made = _Mapping(size, address, fd, fd_offset, None if is_in_place else file)
            self._mappings[iova] = made
            self._iovas.add(iova, size)
            self._addresses.add(address, size)
            if self._iommu is not None:
                self._iommu.allow(iova, size)

    def unmap(self, iova: Iova, size: int) -> None:
        """Keep the device from the memory and put the caller's own behind its address again.

        What the device model has begun it may finish: into RAM that is nobody's then.
        """
        with self._lock:
            self._require_ours()
            found = self._mappings.get(iova)
            if found is None or found.size != size:
                raise DmaError(f"{self._name}: no mapping of {size:#x} bytes at IOVA {iova:#x}")
            if self._iommu is not None:
                with suppress(DeviceGone):  # then it reaches nothing
                    self._iommu.forbid(iova, size)
            if found.file is not None and _identity(found.fd) == found.file:
                self._ram.take_back(
                    self._plan.offset_of(iova),
                    size,
                    address=found.address,
                    fd=found.fd,
                    fd_offset=found.fd_offset,
                )
            del self._mappings[iova]
            self._iovas.remove(iova)
            self._addresses.remove(found.address)

    def close(self) -> None:
        """Let go of RAM; memory that is still mapped stays valid for its owner."""
        with self._lock:
            self._mappings.clear()
            self._ram.close()

    def _check(self, iova: int, size: int) -> None:
        self._require_ours()
        what = f"{self._name}: {size:#x} bytes at IOVA {iova:#x}"
        pages = max(self.page_size, mmap.PAGESIZE)
        if not size or iova % pages or size % pages:
            raise DmaError(f"{what} are not whole pages")
        if not any(r.first <= iova and iova + size - 1 <= r.last for r in self.iova_ranges):
            ranges = ", ".join(f"{r.first:#x} to {r.last:#x}" for r in self.iova_ranges)
            raise DmaError(
                f"{what} are not RAM of the machine, which has {ranges}",
                hint="Give it more with ram=, as in qemu:edu?ram=4G",
            )
        if self._iovas.has_any_of(iova, size):
            raise DmaError(f"{what} overlap a mapping")

    def _check_memory(self, address: int, size: int) -> None:
        if address % mmap.PAGESIZE or self._addresses.has_any_of(address, size):
            raise DmaError(
                f"{self._name}: {size:#x} bytes of memory at {address:#x} are no whole pages, or"
                " mapped already",
                hint="A device of this backend can have memory at one IOVA only",
            )

    def _require_ours(self) -> None:
        if self._is_forked:
            raise ForkedObject(
                f"the DMA memory of {self._name} belongs to the parent process",
                hint="Open the device in the child",
            )

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._is_forked = True


class _Ranges:
    """Ranges that do not overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._sizes: dict[int, int] = {}

    def add(self, start: int, size: int) -> None:
        bisect.insort(self._starts, start)
        self._sizes[start] = size

    def remove(self, start: int) -> None:
        del self._starts[bisect.bisect_left(self._starts, start)]
        del self._sizes[start]

    def has_any_of(self, start: int, size: int) -> bool:
        """Whether some of these bytes are in a range."""
        at = bisect.bisect_left(self._starts, start + size)
        if not at:
            return False
        before = self._starts[at - 1]
        return before + self._sizes[before] > start


def _identity(fd: int) -> tuple[int, int] | None:
    """Return what tells the file behind a descriptor from others, None if it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
