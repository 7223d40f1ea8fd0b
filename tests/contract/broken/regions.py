"""Faults of regions and configuration space."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from pymmio.errors import AccessFault
from pymmio.handle import CONFIG_REGION, MappedArea, RegionHandle, RegionInfo
from tests.contract.broken.handle import BrokenHandle, fault


def _is_config(region: RegionHandle) -> bool:
    return region.info.index == CONFIG_REGION


@fault
class DescribesARegionTwice(BrokenHandle):
    def region_infos(self) -> Sequence[RegionInfo]:
        infos = super().region_infos()
        return (*infos, infos[0])


@fault
class DescribesDifferently(BrokenHandle):
    _turn = itertools.count()

    def region_infos(self) -> Sequence[RegionInfo]:
        turn = next(self._turn)
        return [replace(info, name=f"{info.name}.{turn}") for info in super().region_infos()]


@fault
class HidesARegion(BrokenHandle):
    def region_infos(self) -> Sequence[RegionInfo]:
        return [info for info in super().region_infos() if info.index != 2]


@fault
class MapsPartsOfPages(BrokenHandle):
    def region_infos(self) -> Sequence[RegionInfo]:
        return [
            replace(info, mappable=(MappedArea(0, info.size - 16),)) if info.mappable else info
            for info in super().region_infos()
        ]


@fault
class ReadsLoseABit(BrokenHandle):
    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        value = super().read(region, offset, width)
        return value if _is_config(region) else value & ~(1 << (8 * width - 2))


@fault
class ReadsAreStuck(BrokenHandle):
    """Reads return what the first read of the address returned."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._first: dict[tuple[int, int, int], int] = {}

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if _is_config(region):
            return super().read(region, offset, width)
        key = (region.info.index, offset, width)
        return self._first.setdefault(key, super().read(region, offset, width))


@fault
class ReadsZero(BrokenHandle):
    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        return super().read(region, offset, width) if _is_config(region) else 0


@fault
class ReadsAreBigEndian(BrokenHandle):
    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        value = super().read(region, offset, width)
        return int.from_bytes(value.to_bytes(width, "little"), "big")


@fault
class ReadsTwice(BrokenHandle):
    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        super().read(region, offset, width)
        return super().read(region, offset, width)


@fault
class ReadsInHalves(BrokenHandle):
    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if width == 1 or _is_config(region):
            return super().read(region, offset, width)
        half = width // 2
        low = super().read(region, offset, half)
        return low | super().read(region, offset + half, half) << 8 * half


@fault
class ReadsWide(BrokenHandle):
    """Reads the whole of the 8 bytes around."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if _is_config(region):
            return super().read(region, offset, width)
        whole = super().read(region, offset & ~7, 8)
        return whole >> 8 * (offset & 7) & ((1 << 8 * width) - 1)


@fault
class WritesInHalves(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if width == 1 or _is_config(region):
            super().write(region, offset, width, value)
            return
        half = width // 2
        super().write(region, offset, half, value & ((1 << 8 * half) - 1))
        super().write(region, offset + half, half, value >> 8 * half)


@fault
class WritesTwice(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        for _ in range(1 if _is_config(region) else 2):
            super().write(region, offset, width, value)


@fault
class WritesAreLost(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if _is_config(region):
            super().write(region, offset, width, value)


@fault
class WritesLoseABit(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        lost = 0 if _is_config(region) else 1 << (8 * width - 3)
        super().write(region, offset, width, value & ~lost)


@fault
class WritesWide(BrokenHandle):
    """Writes at least 8 bytes, with zeros."""

    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if _is_config(region):
            super().write(region, offset, width, value)
        else:
            super().write(region, offset & ~7, 8, value << 8 * (offset & 7))


@fault
class WritesAreBigEndian(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if not _is_config(region):
            value = int.from_bytes(value.to_bytes(width, "little"), "big")
        super().write(region, offset, width, value)


@fault
class WritesArePosted(BrokenHandle):
    """A write is made when the next one comes, or a read of the same region."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._posted: list[tuple[RegionHandle, int, int, int]] = []

    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if _is_config(region):
            super().write(region, offset, width, value)
            return
        self._post()
        self._posted.append((region, offset, width, value))

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if self._posted and self._posted[0][0].info == region.info:
            value = super().read(region, offset, width)
            self._post()
            return value
        return super().read(region, offset, width)

    def _post(self) -> None:
        while self._posted:
            super().write(*self._posted.pop())


@fault
class EndsEarly(BrokenHandle):
    """The last 8 bytes of a region are not there."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        return 0 if offset + width > region.info.size - 8 else super().read(region, offset, width)


@fault
class SplitsPages(BrokenHandle):
    """What lies in another page than the first is something else."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if not _is_config(region) and 0x1000 <= offset:
            return 0
        return super().read(region, offset, width)


@fault
class MapsSomethingElse(BrokenHandle):
    def mmap_source(self, region: RegionHandle) -> tuple[int, int] | None:
        source = super().mmap_source(region)
        if source is None:
            return None
        fd = os.memfd_create("other", os.MFD_CLOEXEC)
        os.ftruncate(fd, region.info.size)
        return fd, 0


@fault
class MapsWithoutSayingSo(BrokenHandle):
    def mmap_source(self, region: RegionHandle) -> tuple[int, int] | None:
        fd = os.memfd_create("other", os.MFD_CLOEXEC)
        os.ftruncate(fd, region.info.size)
        return fd, 0


@fault
class PreadsSomethingElse(BrokenHandle):
    def pread_source(self, region: RegionHandle) -> tuple[int, int] | None:
        fd = os.memfd_create("other", os.MFD_CLOEXEC)
        os.ftruncate(fd, region.info.size)
        return fd, 0


@fault
class ConfigurationReadsZero(BrokenHandle):
    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if _is_config(region) and offset < 4:
            return 0
        return super().read(region, offset, width)


@fault
class ConfigurationWordsAreLow(BrokenHandle):
    """Words and bytes are those at the start of their double word."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if _is_config(region) and offset not in (4, 6):
            return super().read(region, offset & ~3, 4) & ((1 << 8 * width) - 1)
        return super().read(region, offset, width)


@fault
class ConfigurationIsWrittenWide(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if _is_config(region) and offset >= 8:
            super().write(region, offset & ~3, 4, value << 8 * (offset & 3))
            for at in range(4):  # and what is not writable changes too
                self.inner.config._bytes[(offset & ~3) + at] = value & 0xFF
        else:
            super().write(region, offset, width, value)


@fault
class ConfigurationCannotBeWritten(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if not _is_config(region) or offset < 8:
            super().write(region, offset, width, value)


@fault
class IdentityCanBeWritten(BrokenHandle):
    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        if _is_config(region) and offset not in (4, 6):
            for at, byte in enumerate(value.to_bytes(width, "little"), offset):
                self.inner.config._bytes[at] = byte
        else:
            super().write(region, offset, width, value)


@fault
class MastersFromTheStart(BrokenHandle):
    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self.inner.config._bytes[4] |= 4


@fault
class FaultsReadOnes(BrokenHandle):
    """Accesses that nobody answers are not reported."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        try:
            return super().read(region, offset, width)
        except AccessFault:
            return (1 << 8 * width) - 1

    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        try:
            super().write(region, offset, width, value)
        except AccessFault:
            return


@fault
class ValuesOfThreadsMix(BrokenHandle):
    """One place for values in flight, and no lock."""

    _value = 0

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if threading.active_count() == 1:
            return super().read(region, offset, width)
        self._value = super().read(region, offset, width)
        time.sleep(1e-4)
        return self._value & ((1 << 8 * width) - 1)


@fault
class OneAccessEachSecond(BrokenHandle):
    """An access in one thread keeps all others waiting."""

    _lock = threading.Lock()

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if threading.active_count() == 1:
            return super().read(region, offset, width)
        with self._lock:
            time.sleep(0.03)
            return super().read(region, offset, width)


@fault
class DoorbellsAreLost(BrokenHandle):
    """Writes of 32 bits to a register that was written before are taken as the same."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._written: set[tuple[int, int]] = set()

    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        key = (region.info.index, offset)
        if not _is_config(region) and width == 4:
            if key in self._written:
                return
            self._written.add(key)
        super().write(region, offset, width, value)


@fault
class ConfigurationTouchesMemory(BrokenHandle):
    """Reading configuration space reads the first register as well."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        if _is_config(region) and self.inner.config.is_memory_on:
            self.inner.open_region(0).read(0, 4)
        return super().read(region, offset, width)


@fault
class RefusedRegionsKeepADescriptor(BrokenHandle):
    def open_region(self, index: int) -> object:
        os.dup(0)
        return super().open_region(index)


@fault
class NeverFinishes(BrokenHandle):
    """The status of edu stays busy."""

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        value = super().read(region, offset, width)
        return value | 1 if offset == 0x20 and not _is_config(region) else value
