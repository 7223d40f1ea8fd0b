"""The edu device: a small PCI function for learning, as QEMU documents it.

Source: QEMU, docs/specs/edu.rst ("EDU device").  Where that text leaves a case
open the model does what QEMU's device does: a read that is not served gives all
ones, a write that is not served is ignored, a 4-byte write to a 64-bit register
clears its upper half.
"""

from __future__ import annotations

from collections.abc import Mapping

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.errors import IommuFault
from pymmio.handle import IrqKind
from pymmio.models.options import as_int, refuse_unknown

__all__ = ["EduModel"]

_IDENTIFICATION = 0x010000ED  # major version 1, minor version 0
_STATUS_COMPUTING = 0x01
_STATUS_IRQ_AFTER_FACTORIAL = 0x80
_IRQ_FACTORIAL = 0x001
_IRQ_DMA = 0x100
_DMA_RUN = 0x1
_DMA_TO_MEMORY = 0x2
_DMA_IRQ = 0x4
_BUFFER_START = 0x40000
_BUFFER_SIZE = 4096
_FIRST_WIDE_OFFSET = 0x80  # below it only 4-byte accesses are served, from here on 4 and 8

_MASK32 = 0xFFFF_FFFF


def factorial32(number: int) -> int:
    """Return number! modulo 2**32, which is 0 from 34 on (34! holds 32 factors of two)."""
    if number >= 34:
        return 0
    result = 1
    for factor in range(2, number + 1):
        result = result * factor & _MASK32
    return result


class EduModel(DeviceModel):
    """The edu device; work is done at once and in the calling thread.

    ``dma_mask`` is the mask that addresses of the driver's memory go through (28 bits
    as delivered).  ``busy_reads`` makes work visible: that many reads of the status
    register show "computing" before a factorial is finished, and that many reads of the
    DMA command register show "running" before a transfer is; :meth:`finish` ends it
    for a driver that waits for the interrupt and does not read.
    """

    vendor_id = 0x1234
    device_id = 0x11E8
    subsystem_vendor_id = 0x1AF4
    subsystem_id = 0x1100
    revision_id = 0x10
    class_code = 0x00FF00
    bars = (BarSpec(index=0, size=1 << 20, is_64bit=False),)
    msi_vectors = 1
    has_intx = True
    is_pcie = False

    def __init__(
        self,
        *,
        dma_mask: str | int = 0x0FFF_FFFF,
        busy_reads: str | int = 0,
        **unknown: str,
    ) -> None:
        refuse_unknown("edu", unknown, ("busy_reads", "dma_mask"))
        self.dma_mask = as_int("dma_mask", dma_mask)
        self.busy_reads = as_int("busy_reads", busy_reads, high=1_000_000)
        self.buffer = bytearray(_BUFFER_SIZE)
        self._power_on()

    def _power_on(self) -> None:
        self.liveness = 0
        self.factorial = 0
        self.status = 0
        self.irq_status = 0
        self.dma_source = 0
        self.dma_destination = 0
        self.dma_count = 0
        self.dma_command = 0
        self._factorial_reads_left = 0
        self._dma_reads_left = 0

    def reset(self) -> None:
        """Clear registers and buffer, drop unfinished work, deassert INTx."""
        self._power_on()
        self.buffer[:] = bytes(_BUFFER_SIZE)
        self.host.lower_intx()

    def describe(self) -> Mapping[str, str]:
        return {"dma_mask": f"{self.dma_mask:#x}", "buffer": f"{_BUFFER_SIZE} bytes"}

    # --- accesses ----------------------------------------------------------------------

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        ones = (1 << (8 * width)) - 1
        if bar != 0 or not self._is_served(offset, width):
            return ones
        match offset:
            case 0x00:
                value = _IDENTIFICATION
            case 0x04:
                value = self.liveness
            case 0x08:
                value = self.factorial
            case 0x20:
                value = self._read_status()
            case 0x24:
                value = self.irq_status
            case 0x80:
                value = self.dma_source
            case 0x88:
                value = self.dma_destination
            case 0x90:
                value = self.dma_count
            case 0x98:
                value = self._read_dma_command()
            case _:
                value = ones
        return value & ones

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        if bar != 0 or not self._is_served(offset, width):
            return
        match offset:
            case 0x04:
                self.liveness = ~value & _MASK32
            case 0x08:
                self._start_factorial(value)
            case 0x20:
                kept = self.status & ~_STATUS_IRQ_AFTER_FACTORIAL
                self.status = kept | (value & _STATUS_IRQ_AFTER_FACTORIAL)
            case 0x60:
                self._raise(value)
            case 0x64:
                self._acknowledge(value)
            case 0x80 | 0x88 | 0x90 | 0x98:
                self._write_dma_register(offset, value)

    @staticmethod
    def _is_served(offset: int, width: int) -> bool:
        return width == 4 or (width == 8 and offset >= _FIRST_WIDE_OFFSET)

    # --- factorial ---------------------------------------------------------------------

    def _start_factorial(self, number: int) -> None:
        if self.status & _STATUS_COMPUTING:
            return
        self.factorial = number & _MASK32
        self.status |= _STATUS_COMPUTING
        self._factorial_reads_left = self.busy_reads
        if not self.busy_reads:
            self._finish_factorial()

    def _read_status(self) -> int:
        if self.status & _STATUS_COMPUTING:
            if not self._factorial_reads_left:
                self._finish_factorial()
            else:
                self._factorial_reads_left -= 1
        return self.status

    def _finish_factorial(self) -> None:
        self.factorial = factorial32(self.factorial)
        self.status &= ~_STATUS_COMPUTING
        if self.status & _STATUS_IRQ_AFTER_FACTORIAL:
            self._raise(_IRQ_FACTORIAL)

    # --- DMA ---------------------------------------------------------------------------

    def _write_dma_register(self, offset: int, value: int) -> None:
        if self.dma_command & _DMA_RUN:
            return
        match offset:
            case 0x80:
                self.dma_source = value
            case 0x88:
                self.dma_destination = value
            case 0x90:
                self.dma_count = value
            case 0x98 if value & _DMA_RUN:
                self.dma_command = value
                self._dma_reads_left = self.busy_reads
                if not self.busy_reads:
                    self._finish_dma()

    def _read_dma_command(self) -> int:
        if self.dma_command & _DMA_RUN:
            if not self._dma_reads_left:
                self._finish_dma()
            else:
                self._dma_reads_left -= 1
        return self.dma_command

    def _finish_dma(self) -> None:
        self._transfer()
        self.dma_command &= ~_DMA_RUN
        if self.dma_command & _DMA_IRQ:
            self._raise(_IRQ_DMA)

    def _transfer(self) -> None:
        """Move the data; nothing moves if a range is bad, for edu has no way to say so."""
        to_memory = bool(self.dma_command & _DMA_TO_MEMORY)
        inside = (self.dma_source if to_memory else self.dma_destination) - _BUFFER_START
        size = self.dma_count
        if inside < 0 or size > _BUFFER_SIZE or inside + size > _BUFFER_SIZE or not size:
            return
        try:
            if to_memory:
                data = memoryview(self.buffer)[inside : inside + size]
                self.host.dma_write(self.dma_destination & self.dma_mask, data)
            else:
                iova = self.dma_source & self.dma_mask
                self.buffer[inside : inside + size] = self.host.dma_read(iova, size)
        except IommuFault:
            return  # a PCI device sees an aborted transaction; edu has no error bit for it

    # --- interrupts --------------------------------------------------------------------

    def finish(self) -> None:
        """Finish a factorial or transfer that ``busy_reads`` keeps busy."""
        if self.status & _STATUS_COMPUTING:
            self._finish_factorial()
        if self.dma_command & _DMA_RUN:
            self._finish_dma()

    def _raise(self, value: int) -> None:
        self.irq_status |= value & _MASK32
        if self.irq_status:
            # The host delivers the kind that the driver enabled and drops the other.
            self.host.raise_irq(IrqKind.MSI, 0)
            self.host.raise_irq(IrqKind.INTX)

    def _acknowledge(self, value: int) -> None:
        self.irq_status &= ~value
        if not self.irq_status:
            self.host.lower_intx()
