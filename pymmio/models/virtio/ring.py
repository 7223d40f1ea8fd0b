"""The device's side of virtqueues (virtio 1.2 §2.7 split, §2.8 packed).

Written from the specification for devices, apart from the driver's engine: each is the other's
judge.  What the driver writes is not trusted: a wrong index, a loop or a reserved flag raises
:class:`RingError`, and the device then asks for a reset.
"""

from __future__ import annotations

import abc
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Chain", "Memory", "PackedRing", "Ring", "RingError", "SplitRing"]

_NEXT, _WRITE, _INDIRECT = 1, 2, 4
_AVAIL, _USED = 1 << 7, 1 << 15
_DESC = struct.Struct("<QIHH")
_MOST = 32768  # descriptors in a chain: no longer than the largest queue (§2.6, §2.7.5.3.1)


class RingError(Exception):
    """The driver broke the rules of the ring."""


class Memory(Protocol):
    """The driver's memory, as the device reaches it."""

    def dma_read(self, iova: int, size: int) -> bytes: ...

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None: ...


@dataclass(frozen=True, slots=True)
class Chain:
    """A buffer of the driver: pieces (iova, size) to read, then pieces to write."""

    id: int
    count: int  #: descriptors of the ring that it takes
    readable: tuple[tuple[int, int], ...]
    writable: tuple[tuple[int, int], ...]

    def read(self, memory: Memory) -> bytes:
        """Return all that the driver wants read."""
        return b"".join(memory.dma_read(iova, size) for iova, size in self.readable)

    def write(self, memory: Memory, data: bytes) -> int:
        """Write as much as fits; return how much that was."""
        done = 0
        for iova, size in self.writable:
            part = data[done : done + size]
            if not part:
                break
            memory.dma_write(iova, part)
            done += len(part)
        return done


class Ring(abc.ABC):
    """A queue of ``size`` descriptors at three addresses of the driver's memory."""

    def __init__(
        self,
        memory: Memory,
        size: int,
        descriptors: int,
        driver: int,
        device: int,
        *,
        has_event_idx: bool,
        has_indirect: bool,
    ) -> None:
        self._memory = memory
        self.size = size
        self._descriptors = descriptors
        self._driver = driver
        self._device = device
        self._has_event_idx = has_event_idx
        self._has_indirect = has_indirect

    @abc.abstractmethod
    def pop(self) -> Chain | None:
        """Take the next buffer that the driver made available, None if there is none."""

    @abc.abstractmethod
    def push(self, chain: Chain, written: int) -> None:
        """Return a buffer to the driver."""

    @abc.abstractmethod
    def should_interrupt(self) -> bool:
        """Tell whether the driver wants an interrupt for what was pushed since the last call."""

    @abc.abstractmethod
    def want_notifications(self, wanted: bool) -> None:
        """Tell the driver whether to notify the device of new buffers."""

    def _u16(self, iova: int) -> int:
        return int.from_bytes(self._memory.dma_read(iova, 2), "little")

    def _put16(self, iova: int, value: int) -> None:
        self._memory.dma_write(iova, value.to_bytes(2, "little"))

    def _desc(self, table: int, index: int) -> tuple[int, int, int, int]:
        iova, size, third, fourth = _DESC.unpack(self._memory.dma_read(table + 16 * index, 16))
        return iova, size, third, fourth

    def _table_length(self, size: int, flags: int) -> int:
        """Return how many descriptors an indirect table has."""
        is_possible = 0 < size <= 16 * _MOST and size % 16 == 0
        if not self._has_indirect or flags & _NEXT or not is_possible:
            raise RingError(f"an indirect descriptor of {size} bytes, flags {flags:#x}")
        return size // 16

    @staticmethod
    def _sorted(
        pieces: Iterator[tuple[int, int, int]],
    ) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
        readable: list[tuple[int, int]] = []
        writable: list[tuple[int, int]] = []
        for iova, size, flags in pieces:
            if flags & _WRITE:
                writable.append((iova, size))
            elif writable:
                raise RingError("a piece to read stands behind one to write")
            else:
                readable.append((iova, size))
        return tuple(readable), tuple(writable)


class SplitRing(Ring):
    """Descriptor table, available ring and used ring (§2.7)."""

    _avail = 0
    _used = 0
    _signalled = 0

    def pop(self) -> Chain | None:
        """Take the next entry of the available ring."""
        idx = self._u16(self._driver + 2)
        ahead = (idx - self._avail) & 0xFFFF
        if ahead == 0:
            return None
        if ahead > self.size:
            raise RingError(f"available index {idx} is {ahead} ahead in a ring of {self.size}")
        head = self._u16(self._driver + 4 + 2 * (self._avail % self.size))
        readable, writable = self._sorted(self._walk(head))
        self._avail = (self._avail + 1) & 0xFFFF
        if self._has_event_idx:
            self._put16(self._device + 4 + 8 * self.size, self._avail)
        return Chain(head, 1, readable, writable)

    def _walk(self, head: int) -> Iterator[tuple[int, int, int]]:
        table, index, limit = self._descriptors, head, self.size
        if index >= limit:
            raise RingError(f"descriptor {index} in a table of {limit}")
        iova, size, flags, following = self._desc(table, index)
        if flags & _INDIRECT:
            table, limit = iova, self._table_length(size, flags)
            iova, size, flags, following = self._desc(table, 0)
        for _ in range(limit):
            if flags & _INDIRECT:
                raise RingError("an indirect descriptor inside a chain")
            yield iova, size, flags
            if not flags & _NEXT:
                return
            if following >= limit:
                raise RingError(f"descriptor {following} in a table of {limit}")
            iova, size, flags, following = self._desc(table, following)
        raise RingError(f"a chain of more than {limit} descriptors: a loop")

    def push(self, chain: Chain, written: int) -> None:
        """Write an entry of the used ring, then its index."""
        at = self._device + 4 + 8 * (self._used % self.size)
        self._memory.dma_write(at, struct.pack("<II", chain.id, written))
        self._used = (self._used + 1) & 0xFFFF
        self._put16(self._device + 2, self._used)

    def should_interrupt(self) -> bool:
        """Look at used_event or at the flag of the available ring (§2.7.7)."""
        before, self._signalled = self._signalled, self._used
        if before == self._used:
            return False
        if not self._has_event_idx:
            return not self._u16(self._driver) & 1
        event = self._u16(self._driver + 4 + 2 * self.size)
        return (self._used - event - 1) & 0xFFFF < (self._used - before) & 0xFFFF

    def want_notifications(self, wanted: bool) -> None:
        """Set the flag of the used ring, or avail_event far away (§2.7.9)."""
        if self._has_event_idx:
            event = self._avail if wanted else self._avail - 1
            self._put16(self._device + 4 + 8 * self.size, event & 0xFFFF)
        else:
            self._put16(self._device, 0 if wanted else 1)


class PackedRing(Ring):
    """One ring of descriptors that driver and device both write (§2.8)."""

    _avail = 0
    _avail_wrap = 1
    _used = 0
    _used_wrap = 1
    _signalled: tuple[int, int] = (0, 1)
    _tells_place = False

    def pop(self) -> Chain | None:
        """Take the next descriptor, or list of descriptors, whose flags say available."""
        if not self._is_available():
            if not self._tells_place:
                return None
            self.want_notifications(True)
            if not self._is_available():  # nor came one before the place was told
                return None
        iova, size, buffer_id, flags = self._desc(self._descriptors, self._avail)
        pieces: list[tuple[int, int, int]] = []
        count = 0
        if flags & _INDIRECT:
            for i in range(self._table_length(size, flags)):
                one, length, _, inner = self._desc(iova, i)
                if inner & _INDIRECT:
                    raise RingError("an indirect descriptor inside a table")
                pieces.append((one, length, inner))
            count = 1
            self._step()
        else:
            while True:
                pieces.append((iova, size, flags))
                count += 1
                self._step()
                if not flags & _NEXT:
                    break
                if count == self.size:
                    raise RingError(f"a list of more than {self.size} descriptors")
                iova, size, buffer_id, flags = self._desc(self._descriptors, self._avail)
                if flags & _INDIRECT:
                    raise RingError("an indirect descriptor inside a chain")
        readable, writable = self._sorted(iter(pieces))
        return Chain(buffer_id, count, readable, writable)

    def _is_available(self) -> bool:
        flags = self._u16(self._descriptors + 16 * self._avail + 14)
        is_avail, is_used = bool(flags & _AVAIL), bool(flags & _USED)
        return is_avail == bool(self._avail_wrap) and is_used != is_avail

    def _step(self) -> None:
        self._avail += 1
        if self._avail == self.size:
            self._avail, self._avail_wrap = 0, 1 - self._avail_wrap

    def push(self, chain: Chain, written: int) -> None:
        """Overwrite the next used descriptor; skip those of the list behind it."""
        at = self._descriptors + 16 * self._used
        flags = (_AVAIL | _USED if self._used_wrap else 0) | (_WRITE if written else 0)
        self._memory.dma_write(at + 8, struct.pack("<IH", written, chain.id))
        self._put16(at + 14, flags)
        self._used += chain.count
        if self._used >= self.size:
            self._used, self._used_wrap = self._used - self.size, 1 - self._used_wrap

    def should_interrupt(self) -> bool:
        """Look at the driver's event suppression structure (§2.8.10)."""
        before, self._signalled = self._signalled, (self._used, self._used_wrap)
        if before == self._signalled:
            return False
        where, flags = struct.unpack("<HH", self._memory.dma_read(self._driver, 4))
        if flags & 3 == 0:
            return True
        if flags & 3 == 1:
            return False
        event: int = where & 0x7FFF
        wrap: int = where >> 15
        # Places as a number that goes on through the wrap of both.
        start = before[0]
        new = self._used + (self.size if self._used_wrap != before[1] else 0)
        at = event + (self.size if wrap != before[1] else 0)
        return start <= at < new

    def want_notifications(self, wanted: bool) -> None:
        """Write the device's event suppression structure."""
        self._tells_place = wanted and self._has_event_idx
        if not wanted:
            self._memory.dma_write(self._device, struct.pack("<HH", 0, 1))
        elif self._has_event_idx:
            where = self._avail | self._avail_wrap << 15
            self._memory.dma_write(self._device, struct.pack("<HH", where, 2))
        else:
            self._memory.dma_write(self._device, struct.pack("<HH", 0, 0))
