"""A model of the CRC card: it computes the CRC-32 of memory.

Written from the table of registers in docs/howto/write-a-driver.rst, as the driver is, and from
nothing else: a model that shares the driver's table repeats the driver's mistakes.
"""

from __future__ import annotations

import zlib

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.errors import IommuFault
from pymmio.handle import IrqKind


class CrcModel(DeviceModel):
    """The card; ``silent=1`` makes one that starts and never finishes."""

    vendor_id = 0x1AF4
    device_id = 0x10F1
    class_code = 0xFF0000
    bars = (BarSpec(index=0, size=4096), BarSpec(index=2, size=4096))
    msix_vectors = 1
    msix_bar = 2

    def __init__(self, *, silent: str | int = 0) -> None:
        self.silent = int(silent)
        self._power_on()

    def _power_on(self) -> None:
        self.enabled = False
        self.status = 0
        self.address = 0
        self.length = 0
        self.result = 0

    def reset(self) -> None:
        self._power_on()

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        match bar, offset, width:
            case 0, 0x00, 4:
                return 0x0001C3C3
            case 0, 0x04, 4:
                return int(self.enabled)
            case 0, 0x08, 4:
                return self.status | int(self.enabled)
            case 0, 0x10, 8:
                return self.address
            case 0, 0x18, 4:
                return self.length
            case 0, 0x20, 4:
                return self.result
        return (1 << 8 * width) - 1

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        match bar, offset, width:
            case 0, 0x04, 4:
                self.enabled = bool(value & 1)
            case 0, 0x08, 4:
                self.status &= ~(value & 0x300)
            case 0, 0x10, 8:
                self.address = value
            case 0, 0x18, 4:
                self.length = value
            case 0, 0x1C, 4 if self.enabled and not self.silent:
                self._compute()

    def _compute(self) -> None:
        try:
            self.result = zlib.crc32(self.host.dma_read(self.address, self.length))
            self.status |= 1 << 8
        except IommuFault:
            self.status |= 1 << 9
        self.host.raise_irq(IrqKind.MSIX, 0)
