"""The client's memory as the device reaches it: what was not lent cannot be reached."""

from __future__ import annotations

import bisect
import errno
from dataclasses import dataclass
from typing import Protocol

from pymmio.backend.vfio_user.messages import DmaFlags
from pymmio.backend.vfio_user.server.files import ClientFile, ClientFiles
from pymmio.backend.vfio_user.server.refusal import Refusal
from pymmio.errors import IommuFault

__all__ = ["MAX_MAPS", "ByMessage", "ClientMemory"]

MAX_MAPS = 65535
MAX_FILES = 16384
_PAGE = 4096
_END = 1 << 64
_READ, _WRITE = int(DmaFlags.READ), int(DmaFlags.WRITE)  # in every access: as plain numbers


class ByMessage(Protocol):
    """Memory that is reached by asking the client.  Raises IommuFault where it refuses."""

    def dma_read(self, address: int, size: int) -> bytes: ...

    def dma_write(self, address: int, data: memoryview) -> None: ...


@dataclass(frozen=True, slots=True)
class _Lent:
    """Memory at ``start`` up to ``end``, at ``file_offset`` of a file, or by message only."""

    start: int
    end: int
    flags: int
    file: ClientFile | None
    file_offset: int


class ClientMemory:
    """Everything that the client has lent; a :class:`~pymmio.backend.served.DeviceMemory`.

    Used by one thread at a time.
    """

    def __init__(self, by_message: ByMessage) -> None:
        self._by_message = by_message
        self._starts: list[int] = []
        self._lent: dict[int, _Lent] = {}
        self.files = ClientFiles(MAX_FILES)

    def __len__(self) -> int:
        return len(self._starts)

    # --- what the client says ------------------------------------------------------------------

    def lend(
        self, address: int, size: int, *, flags: int, fd: int | None, file_offset: int
    ) -> None:
        """Take a mapping; the descriptor stays the caller's.  Raises Refusal."""
        if address % _PAGE or size % _PAGE or not size or address + size > _END:
            raise Refusal(errno.EINVAL, f"DMA_MAP of {size:#x} bytes at {address:#x}: not pages")
        if flags & ~(_READ | _WRITE):
            raise Refusal(errno.EINVAL, f"DMA_MAP with flags {flags:#x}")
        at = bisect.bisect_left(self._starts, address)
        after = self._starts[at] if at < len(self._starts) else _END
        before = self._lent[self._starts[at - 1]].end if at else 0
        if before > address or address + size > after:
            raise Refusal(errno.EEXIST, f"DMA_MAP of {size:#x} bytes at {address:#x}: taken")
        if len(self._starts) >= MAX_MAPS:
            raise Refusal(errno.ENOSPC, f"{MAX_MAPS} DMA maps exist")
        file = None
        if fd is not None:
            writable = bool(flags & _WRITE)
            file = self.files.use(fd, file_offset + size, writable=writable)
        self._starts.insert(at, address)
        self._lent[address] = _Lent(address, address + size, flags, file, file_offset)

    def take_back(self, address: int, size: int) -> None:
        """Forget all mappings in a range, be there one, many or none.

        QEMU takes whole address spaces back, as VFIO lets it (linux/vfio.h,
        VFIO_IOMMU_UNMAP_DMA).  Raises Refusal where the range cuts a mapping in two.
        """
        end = address + size
        first = bisect.bisect_left(self._starts, address)
        last = bisect.bisect_left(self._starts, end, lo=first)
        edges = self._starts[max(first - 1, 0) : last]
        if any(start < edge < self._lent[start].end for start in edges for edge in (address, end)):
            raise Refusal(errno.EINVAL, f"DMA_UNMAP of {size:#x} bytes at {address:#x}: a part")
        gone = [self._lent.pop(start) for start in self._starts[first:last]]
        del self._starts[first:last]
        for one in gone:
            if one.file is not None:
                self.files.release(one.file)

    def take_back_all(self) -> None:
        """Forget everything."""
        lent, self._lent, self._starts = self._lent, {}, []
        for one in lent.values():
            if one.file is not None:
                self.files.release(one.file)

    # --- the device's side -------------------------------------------------------------------

    def read(self, iova: int, size: int, by: str | None = None) -> bytes:
        """Return what the device reads.  Raises IommuFault where it may not."""
        pieces = [
            self._read(one, start, end, by)
            for one, start, end in self._pieces(iova, size, _READ, by)
        ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, iova: int, data: bytes | bytearray | memoryview, by: str | None = None) -> None:
        """Write for the device.  Raises IommuFault before a byte is written where it may not."""
        view = memoryview(data).cast("B")
        for one, start, end in self._pieces(iova, len(view), _WRITE, by):
            piece = view[start - iova : end - iova]
            if one.file is None:
                self._by_message.dma_write(start, piece)
            elif not one.file.memory.write(one.file_offset + start - one.start, piece):
                raise _cut_off(by, start, end)

    def _read(self, one: _Lent, start: int, end: int, by: str | None) -> bytes:
        if one.file is None:
            return self._by_message.dma_read(start, end - start)
        data = one.file.memory.read(one.file_offset + start - one.start, end - start)
        if data is None:
            raise _cut_off(by, start, end)
        return data

    def _pieces(
        self, iova: int, size: int, needed: int, by: str | None
    ) -> list[tuple[_Lent, int, int]]:
        pieces: list[tuple[_Lent, int, int]] = []
        at, end = iova, iova + size
        while at < end:
            index = bisect.bisect_right(self._starts, at) - 1
            one = self._lent[self._starts[index]] if index >= 0 else None
            if one is None or at >= one.end or not one.flags & needed:
                raise IommuFault(
                    f"{by or 'the device'}: the device accessed {size:#x} bytes at IOVA "
                    f"{iova:#x}, and {at:#x} is not mapped for that"
                )
            stop = min(end, one.end)
            pieces.append((one, at, stop))
            at = stop
        return pieces


def _cut_off(by: str | None, start: int, end: int) -> IommuFault:
    return IommuFault(
        f"{by or 'the device'}: the memory at IOVA {start:#x} to {end:#x} was cut off by its owner"
    )
