"""Faults of DMA."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from pymmio.errors import DmaError, IommuFault
from pymmio.handle import IovaRange
from tests.contract.broken.handle import BrokenHandle, fault

PAGE = 4096


@fault
class NoAddresses(BrokenHandle):
    def iova_ranges(self) -> Sequence[IovaRange]:
        return [IovaRange(0, 0xFFFFF), IovaRange(0x80000, 1 << 40)]


@fault
class WrongAddresses(BrokenHandle):
    """Says that addresses are usable at the second time."""

    _asked = 0

    def iova_ranges(self) -> Sequence[IovaRange]:
        self._asked += 1
        if self._asked == 1:
            return [IovaRange(0x10_0000, (1 << 48) - 1)]
        return [IovaRange(0x10_0000, 0x1F_FFFF)]


@fault
class MapsACopy(BrokenHandle):
    """The device gets a copy of the memory."""

    def map(self, iova: int, size: int, **memory: int) -> None:
        fd = os.memfd_create("copy", os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
        try:
            super().map(iova, size, **memory | {"fd": fd, "fd_offset": 0})
        finally:
            os.close(fd)


@fault
class MapsOnePage(BrokenHandle):
    """Whatever the size, only the first page can be reached."""

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        room = PAGE - iova % PAGE
        super().device_writes(iova, bytes(data)[:room])


@fault
class MapsOneAddress(BrokenHandle):
    """All that the device writes goes to the buffer that was mapped first."""

    _first: int | None = None

    def map(self, iova: int, size: int, **memory: int) -> None:
        if size == PAGE and self._first is None:
            self._first = iova
        super().map(iova, size, **memory)

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        to = iova if self._first is None else self._first + iova % PAGE
        with suppress(IommuFault):
            super().device_writes(to, data)


@fault
class WritesTooMuch(BrokenHandle):
    """The device writes a cache line more than it was told."""

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        with suppress(IommuFault):
            super().device_writes(iova, bytes(data) + b"\xdd" * 64)
            return
        super().device_writes(iova, data)


@fault
class WritesElsewhere(BrokenHandle):
    """What cannot be written where it belongs is written to the last buffer."""

    _last = 0

    def map(self, iova: int, size: int, **memory: int) -> None:
        super().map(iova, size, **memory)
        self._last = iova

    def unmap(self, iova: int, size: int) -> None:
        super().unmap(iova, size)
        if self._last == iova and self.inner.dma._starts:
            self._last = self.inner.dma._starts[-1]

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        try:
            super().device_writes(iova, data)
        except IommuFault:
            super().device_writes(self._last + 1024, data)


@fault
class UnmapsLater(BrokenHandle):
    """What is taken away stays reachable until its address is needed."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._late: dict[int, int] = {}

    def unmap(self, iova: int, size: int) -> None:
        if self._late.get(iova) == size:
            raise DmaError("not mapped")
        if iova not in self.inner.dma._mappings:
            super().unmap(iova, size)
        self._late[iova] = size

    def map(self, iova: int, size: int, **memory: int) -> None:
        for other, length in list(self._late.items()):
            if other < iova + size and iova < other + length:
                super().unmap(other, length)
                del self._late[other]
        super().map(iova, size, **memory)


@fault
class MastersAlways(BrokenHandle):
    """Bus mastering cannot be switched off."""

    def device_reads(self, iova: int, size: int) -> bytes:
        return self.inner.dma.read(iova, size, self.name)

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        self.inner.dma.write(iova, data, self.name)


@fault
class MapsOverMappings(BrokenHandle):
    """A mapping over another replaces it."""

    def map(self, iova: int, size: int, **memory: int) -> None:
        iommu = self.inner.dma
        for start in list(iommu._starts):
            length = len(iommu._mappings[start])
            if start < iova + size and iova < start + length:
                iommu.unmap(start, length)  # type: ignore[arg-type]
        super().map(iova, size, **memory)


@fault
class MapsAnything(BrokenHandle):
    """Rounds, and says nothing."""

    def map(self, iova: int, size: int, **memory: int) -> None:
        with suppress(DmaError):
            super().map(iova // PAGE * PAGE, max(size // PAGE, 1) * PAGE, **memory)

    def unmap(self, iova: int, size: int) -> None:
        with suppress(DmaError):
            super().unmap(iova, size)


@fault
class UnmapsAnything(BrokenHandle):
    def unmap(self, iova: int, size: int) -> None:
        with suppress(DmaError):
            super().unmap(iova, size)


@fault
class MapsOnce(BrokenHandle):
    """An address that was used cannot be used again."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._used: set[int] = set()

    def map(self, iova: int, size: int, **memory: int) -> None:
        if iova in self._used:
            raise DmaError("used up")
        super().map(iova, size, **memory)
        self._used.add(iova)


@fault
class KeepsDescriptors(BrokenHandle):
    """Each mapping takes a descriptor for ever."""

    def map(self, iova: int, size: int, **memory: int) -> None:
        super().map(iova, size, **memory)
        os.dup(memory["fd"])


@fault
class KeepsDescriptorsOnFailure(BrokenHandle):
    """A mapping that fails for want of a descriptor keeps another."""

    def map(self, iova: int, size: int, **memory: int) -> None:
        mine = os.dup(memory["fd"])
        super().map(iova, size, **memory)
        os.close(mine)


@fault
class MappingsOfThreadsMix(BrokenHandle):
    """Two mappings at the same time become one."""

    def map(self, iova: int, size: int, **memory: int) -> None:
        super().map(iova, size, **memory)
        if threading.active_count() > 2:
            os.pwrite(memory["fd"], b"mixed", memory["fd_offset"])


@fault
class ForgetsMappingsWhenOthersCome(BrokenHandle):
    """While a mapping is being made none of the others can be reached."""

    _is_busy = False

    def map(self, iova: int, size: int, **memory: int) -> None:
        self._is_busy = threading.active_count() > 1
        try:
            time.sleep(1e-4 if self._is_busy else 0)
            super().map(iova, size, **memory)
        finally:
            self._is_busy = False

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        if threading.active_count() > 1:
            raise IommuFault("busy")
        super().device_writes(iova, data)


@fault
class LosesMappingsAtReset(BrokenHandle):
    def reset(self) -> None:
        super().reset()
        for start in list(self.inner.dma._starts):
            memory = self.inner.dma._mappings[start]
            with mmap.mmap(-1, len(memory)) as empty:
                assert len(empty) == len(memory)
            fd = os.memfd_create("lost", os.MFD_CLOEXEC)
            os.ftruncate(fd, len(memory))
            self.inner.dma._mappings[start] = mmap.mmap(fd, len(memory))
            os.close(fd)


@fault
class UsesMemoryOfTheFormerUser(BrokenHandle):
    """A new user's memory is written to when it is mapped, by what the former one left."""

    _former: ClassVar[list[bytes]] = []

    def device_reads(self, iova: int, size: int) -> bytes:
        data = super().device_reads(iova, size)
        if set(data) == {0x99}:
            self._former.append(data)
        return data

    def map(self, iova: int, size: int, **memory: int) -> None:
        super().map(iova, size, **memory)
        if self._former and not self.inner.config.is_master_on:
            return
        if self._former and size == PAGE:
            os.pwrite(memory["fd"], self._former.pop(), memory["fd_offset"])


@fault
class SecondDeviceIsAlone(BrokenHandle):
    """Two devices that share have address spaces of their own below."""

    def device_reads(self, iova: int, size: int) -> bytes:
        if self.inner.dma._users > 1:
            return bytes(size)
        return super().device_reads(iova, size)


@fault
class WrapsAround(BrokenHandle):
    """What leaves a page comes in again at its start."""

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        room = PAGE - iova % PAGE
        super().device_writes(iova, bytes(data)[:room])
        if len(data) > room:
            super().device_writes(iova // PAGE * PAGE, bytes(data)[room:])
