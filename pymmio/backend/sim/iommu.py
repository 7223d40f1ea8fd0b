"""The IOMMU of simulated devices: what was not mapped cannot be reached."""

from __future__ import annotations

import bisect
import mmap
import threading
from collections.abc import Sequence

from pymmio.errors import Closed, DmaError, IommuFault
from pymmio.handle import Iova, IovaRange

__all__ = ["SimIommu"]

IOVA_BITS = 48


class SimIommu:
    """A :class:`~pymmio.handle.DmaHandle`, and the device's side of it.

    Each mapping is a mapping of the same memfd of its own: memory that the driver frees too
    early is never touched by a device, it faults.  Devices in several threads may be behind it.
    """

    page_size = 4096
    max_mappings = 65535
    pins_memory = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._starts: list[int] = []
        self._mappings: dict[int, mmap.mmap] = {}
        self._users = 1
        self._lock = threading.Lock()

    def join(self) -> None:
        """Count one device more behind this IOMMU."""
        with self._lock:
            if not self._users:
                raise Closed(f"{self._name} is closed", hint="Open the first device again")
            self._users += 1

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """48 bits without the window that x86 keeps for interrupts."""
        return (IovaRange(0, 0xFEDF_FFFF), IovaRange(0xFEF0_0000, (1 << IOVA_BITS) - 1))

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Make ``size`` bytes of the memfd reachable; pages, no overlap."""
        if iova % self.page_size or size % self.page_size or not size:
            raise DmaError(f"{self._name}: {size:#x} bytes at IOVA {iova:#x} are not whole pages")
        if not any(r.first <= iova and iova + size - 1 <= r.last for r in self.iova_ranges):
            raise DmaError(f"{self._name}: {size:#x} bytes at IOVA {iova:#x} are not usable")
        with self._lock:
            at = bisect.bisect_right(self._starts, iova)
            before = self._starts[at - 1] if at else None
            after = self._starts[at] if at < len(self._starts) else None
            if (before is not None and before + len(self._mappings[before]) > iova) or (
                after is not None and iova + size > after
            ):
                raise DmaError(f"{self._name}: {size:#x} bytes at IOVA {iova:#x} overlap a mapping")
            self._mappings[iova] = mmap.mmap(fd, size, offset=fd_offset)
            self._starts.insert(at, iova)

    def unmap(self, iova: Iova, size: int) -> None:
        """Take a whole mapping away."""
        with self._lock:
            memory = self._mappings.get(iova)
            if memory is None or len(memory) != size:
                raise DmaError(f"{self._name}: no mapping of {size:#x} bytes at IOVA {iova:#x}")
            del self._mappings[iova]
            self._starts.remove(iova)
            memory.close()

    def close(self) -> None:
        """Count one device less; drop all mappings with the last."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            for memory in self._mappings.values():
                memory.close()
            self._mappings.clear()
            self._starts.clear()

    # --- the device's side -------------------------------------------------------------------

    def read(self, iova: int, size: int, by: str | None = None) -> bytes:
        """Return what the device ``by`` reads.  Raises IommuFault where nothing is mapped."""
        with self._lock:
            pieces = self._pieces(iova, size, by)
            if len(pieces) == 1:
                memory, start, end = pieces[0]
                return memory[start:end]
            return b"".join(memory[start:end] for memory, start, end in pieces)

    def write(self, iova: int, data: bytes | bytearray | memoryview, by: str | None = None) -> None:
        """Write for the device ``by``, all or nothing."""
        view = memoryview(data).cast("B")
        done = 0
        with self._lock:
            for memory, start, end in self._pieces(iova, len(view), by):
                memory[start:end] = view[done : done + end - start]
                done += end - start

    def _pieces(self, iova: int, size: int, by: str | None) -> list[tuple[mmap.mmap, int, int]]:
        pieces: list[tuple[mmap.mmap, int, int]] = []
        at, end = iova, iova + size
        while at < end:
            index = bisect.bisect_right(self._starts, at) - 1
            start = self._starts[index] if index >= 0 else 0
            memory = self._mappings.get(start) if index >= 0 else None
            if memory is None or at >= start + len(memory):
                raise IommuFault(
                    f"{by or self._name}: the device accessed {size:#x} bytes at IOVA {iova:#x}, "
                    f"and nothing is mapped at {at:#x}"
                )
            stop = min(end, start + len(memory))
            pieces.append((memory, at - start, stop - start))
            at = stop
        return pieces
