"""Regions of the device: each access is one message."""

from __future__ import annotations

import threading
from typing import NoReturn

from pymmio.backend.qtest.config import DeviceConfig
from pymmio.backend.qtest.machine.bars import PlacedBar
from pymmio.backend.qtest.machine.function import PciFunction
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.errors import AccessFault, Misaligned, WidthRefused
from pymmio.handle import RegionInfo
from pymmio.pci.header import Offset

__all__ = ["QtestRegion", "RamRegion", "RomRegion", "UncheckedRegion"]

_ROM_ENABLE = 1  # PCI Local Bus 3.0 §6.2.5.2


class QtestRegion:
    """A :class:`~pymmio.handle.RegionHandle` of a BAR.

    QEMU makes one access of the width asked for where the device model takes that; where it does
    not, QEMU splits it or answers 0, and tells nobody.
    """

    def __init__(
        self, info: RegionInfo, bar: PlacedBar, config: DeviceConfig, channel: QtestChannel
    ) -> None:
        self.info = info
        self._bar = bar
        self._config = config
        self._channel = channel

    def read(self, offset: int, width: int) -> int:
        """Make one read.  Raises AccessFault, DeviceGone, DeviceTimeout, Misaligned."""
        self._check(offset, width, None)
        address = self._bar.address + offset
        if self._bar.is_io:
            return self._channel.read_port(address, width)
        return self._channel.read(address, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Post one write; raises as :meth:`read` does.  A failure may be that of a former one."""
        self._check(offset, width, value)
        address = self._bar.address + offset
        if self._bar.is_io:
            self._channel.write_port(address, width, value)
        else:
            self._channel.write(address, width, value)

    def read_block(self, offset: int, size: int, width: int) -> bytes:
        """Make many reads, low address first; raises as :meth:`read` does."""
        self._check(offset, width, None)
        first = self._bar.address + offset
        places = range(first, first + size, width)
        values = self._channel.read_many(places, width, is_io=self._bar.is_io)
        return b"".join(value.to_bytes(width, "little") for value in values)

    def write_block(self, offset: int, data: bytes, width: int) -> None:
        """Post many writes, low address first; raises as :meth:`write` does."""
        self._check(offset, width, 0)
        first = self._bar.address + offset
        pieces = range(0, len(data), width)
        writes = [(first + i, int.from_bytes(data[i : i + width], "little")) for i in pieces]
        self._channel.write_many(writes, width, is_io=self._bar.is_io)

    def mmap_source(self) -> tuple[int, int] | None:
        """Messages: nothing to map."""
        return None

    def pread_source(self) -> tuple[int, int] | None:
        """Messages: no file."""
        return None

    def unchecked(self) -> UncheckedRegion:
        """Return the same bytes for accesses that no driver makes: what does QEMU do of them?"""
        return UncheckedRegion(self._bar.address, self._channel)

    def _check(self, offset: int, width: int, value: int | None) -> None:
        silent = self._config.why_silent(self._bar)
        if offset % width or silent or (self._bar.is_io and width > 4):
            self._refuse(silent, offset, width, value)

    def _refuse(self, silent: str, offset: int, width: int, value: int | None) -> NoReturn:
        kind = "read" if value is None else "write"
        what = f"{self.info.name}: {kind} of {width} bytes at {offset:#x}"
        if silent:
            raise AccessFault(
                f"{what}: nobody answers",
                region=self.info.name,
                offset=offset,
                width=width,
                is_write=value is not None,
                value=value,
                hint=f"See COMMAND, the power state and the BARs: {silent}",
            )
        error, why = (
            (Misaligned, "QEMU would split it")
            if offset % width
            else (WidthRefused, "I/O ports have at most 4 bytes")
        )
        raise error(
            f"{what}: {why}",
            region=self.info.name,
            offset=offset,
            width=width,
            is_write=value is not None,
            value=value,
            hint="Use an aligned offset, or AccessRule(otherwise=Violation.SPLIT)",
        )


class UncheckedRegion:
    """A BAR of memory space, for 1 to 8 bytes at any offset; QEMU cuts them into accesses.

    For ``pymmio check rules``: nothing is refused here.
    """

    def __init__(self, address: int, channel: QtestChannel) -> None:
        self._address = address
        self._channel = channel

    def read(self, offset: int, width: int) -> int:
        """Have QEMU read ``width`` bytes."""
        return int.from_bytes(self._channel.read_bytes(self._address + offset, width), "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """Have QEMU write ``width`` bytes."""
        self._channel.write_bytes(self._address + offset, value.to_bytes(width, "little"))


class RamRegion(QtestRegion):
    """A BAR that is a file of the host: it can be mapped."""

    def __init__(
        self,
        info: RegionInfo,
        bar: PlacedBar,
        config: DeviceConfig,
        channel: QtestChannel,
        fd: int,
    ) -> None:
        super().__init__(info, bar, config, channel)
        self._fd = fd

    def mmap_source(self) -> tuple[int, int]:
        """Return the file of the memory."""
        return self._fd, 0


class RomRegion(QtestRegion):
    """The expansion ROM, which answers only while its register says so."""

    def __init__(
        self,
        info: RegionInfo,
        bar: PlacedBar,
        config: DeviceConfig,
        channel: QtestChannel,
        function: PciFunction,
    ) -> None:
        super().__init__(info, bar, config, channel)
        self._function = function
        self._lock = threading.Lock()

    def read(self, offset: int, width: int) -> int:
        """Make one read, with the ROM switched on for it."""
        with self._lock:
            self._function.write32(Offset.EXPANSION_ROM, self._bar.address | _ROM_ENABLE)
            try:
                return super().read(offset, width)
            finally:
                self._function.write32(Offset.EXPANSION_ROM, self._bar.address)

    def read_block(self, offset: int, size: int, width: int) -> bytes:
        """Make many reads, with the ROM switched on for all of them."""
        with self._lock:
            self._function.write32(Offset.EXPANSION_ROM, self._bar.address | _ROM_ENABLE)
            try:
                return super().read_block(offset, size, width)
            finally:
                self._function.write32(Offset.EXPANSION_ROM, self._bar.address)
