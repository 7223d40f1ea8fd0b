"""Fakes of a backend's DMA and interrupts, for tests of drivers and of pymmio itself.

They do what the Protocols of :mod:`pymmio.handle` promise, log every call in ``calls``, and
fail when told.  The ``device_*`` methods and ``fire`` play the device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pymmio.errors import DmaError, IommuFault
from pymmio.handle import Iova, IovaRange, IrqKind

__all__ = ["FakeDma", "FakeIrq"]


class _Calls:
    """A log of calls, and the failures that are still to come."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._failures: dict[str, list[Exception]] = {}

    def fail_next(self, method: str, error: Exception) -> None:
        """Raise ``error`` in the next call of ``method`` that has no failure planned yet."""
        self._failures.setdefault(method, []).append(error)

    def called(self, method: str) -> list[tuple[object, ...]]:
        """Return the logged calls of one method, failed ones too."""
        return [call for call in self.calls if call[0] == method]

    def _log(self, method: str, *arguments: object) -> None:
        self.calls.append((method, *arguments))
        if planned := self._failures.get(method):
            raise planned.pop(0)


class FakeDma(_Calls):
    """A DmaHandle that refuses what an IOMMU refuses, and reaches memory as a device does."""

    def __init__(
        self,
        iova_ranges: Sequence[IovaRange] = (IovaRange(0, (1 << 39) - 1),),
        *,
        page_size: int = 4096,
        max_mappings: int = 65535,
        pins_memory: bool = False,
    ) -> None:
        super().__init__()
        self.iova_ranges = iova_ranges
        self.page_size = page_size
        self.max_mappings = max_mappings
        self.pins_memory = pins_memory
        self.mappings: dict[int, tuple[int, int, int]] = {}
        """Size, descriptor and offset in its file, by iova."""

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        self._log("map", iova, size)
        for other, (other_size, _, _) in self.mappings.items():
            if iova < other + other_size and other < iova + size:
                raise DmaError(f"{iova:#x} overlaps the mapping at {other:#x}")
        if (iova | size | address) % self.page_size or size <= 0:
            raise DmaError(f"{iova:#x} + {size:#x} at {address:#x} is not in whole pages")
        if not any(r.first <= iova and iova + size - 1 <= r.last for r in self.iova_ranges):
            raise DmaError(f"{iova:#x} + {size:#x} is outside the usable ranges")
        if len(self.mappings) >= self.max_mappings:
            raise DmaError("too many mappings")
        self.mappings[iova] = (size, fd, fd_offset)

    def unmap(self, iova: Iova, size: int) -> None:
        self._log("unmap", iova, size)
        if self.mappings.get(iova, (None,))[0] != size:
            raise DmaError(f"no mapping of {size:#x} bytes at {iova:#x}")
        del self.mappings[iova]

    def device_read(self, iova: int, size: int) -> bytes:
        """Read memory as the device does.  Raises IommuFault where nothing is mapped."""
        fd, offset = self._find(iova, size)
        return os.pread(fd, size, offset)

    def device_write(self, iova: int, data: bytes) -> None:
        """Write memory as the device does.  Raises IommuFault where nothing is mapped."""
        fd, offset = self._find(iova, len(data))
        os.pwrite(fd, data, offset)

    def _find(self, iova: int, size: int) -> tuple[int, int]:
        for start, (length, fd, fd_offset) in self.mappings.items():
            if start <= iova and iova + size <= start + length:
                return fd, fd_offset + iova - start
        raise IommuFault(f"the device reached for {size} bytes at {iova:#x}: not mapped")


class FakeIrq(_Calls):
    """An IrqHandle; ``counts`` says how many vectors of each kind the device has."""

    def __init__(self, counts: Mapping[IrqKind, int] | None = None) -> None:
        super().__init__()
        self.counts = dict(counts if counts is not None else {IrqKind.MSIX: 4})
        self.enabled: dict[IrqKind, tuple[int, ...]] = {}
        """The eventfds of the kinds that are on."""
        self.is_intx_masked = False
        self._is_intx_pending = False

    def count(self, kind: IrqKind) -> int:
        return self.counts.get(kind, 0)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        self._log("enable", kind, len(eventfds))
        self.enabled[kind] = tuple(eventfds)
        if kind is IrqKind.INTX:
            self.is_intx_masked = self._is_intx_pending = False

    def disable(self, kind: IrqKind) -> None:
        self._log("disable", kind)
        self.enabled.pop(kind, None)

    def unmask_intx(self) -> None:
        self._log("unmask_intx")
        self.is_intx_masked = False
        if self._is_intx_pending:
            self._is_intx_pending = False
            self.fire(IrqKind.INTX)

    def fire(self, kind: IrqKind, vector: int = 0, *, times: int = 1) -> None:
        """Signal an interrupt as the device does; lost, as there, if the vector is not on.

        INTx masks itself; one that comes while it is masked is delivered after the unmask.
        """
        eventfds = self.enabled.get(kind, ())
        if vector >= len(eventfds) or eventfds[vector] < 0:
            return
        if kind is IrqKind.INTX:
            if self.is_intx_masked:
                self._is_intx_pending = True
                return
            self.is_intx_masked = True
            times = 1
        os.eventfd_write(eventfds[vector], times)
