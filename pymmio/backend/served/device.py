"""A device model with its configuration space, BARs, memory and interrupts."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Protocol

from pymmio.backend.model import DeviceModel
from pymmio.backend.model_config import ConfigModel, msix_table_size
from pymmio.backend.served.interrupts import ServedIrq
from pymmio.backend.served.memory import BarMemory
from pymmio.errors import AccessFault, IommuFault, ValueOutOfRange
from pymmio.handle import IrqKind

__all__ = ["DeviceMemory", "ServedDevice"]


class DeviceMemory(Protocol):
    """The driver's memory as the device reaches it; ``by`` names the device in messages."""

    def read(self, iova: int, size: int, by: str | None = None) -> bytes: ...

    def write(
        self, iova: int, data: bytes | bytearray | memoryview, by: str | None = None
    ) -> None: ...


class ServedDevice:
    """The :class:`~pymmio.backend.model.ModelHost` of a model, and the PCI function around it.

    Calls of the model are serialised by ``lock``, which callers of :meth:`bar_read`,
    :meth:`bar_write` and :meth:`reset_function` hold.  Closes the model when it is closed, and
    when it cannot be made.
    """

    def __init__(self, model: DeviceModel, name: str, *, wary: bool = False) -> None:
        """``wary``: memory and eventfds are shared with somebody who is not trusted."""
        self.model = model
        self.name = name
        self.lock = threading.RLock()
        self.bars = {bar.index: bar for bar in model.bars}
        self.memory: dict[int, BarMemory] = {}
        self._table = bytearray(msix_table_size(model.msix_vectors))
        self._tables = {model.msix_bar: model.msix_offset} if model.msix_vectors else {}
        with ExitStack() as undo:
            undo.callback(model.close)
            self.config = ConfigModel(model)
            self.irq = ServedIrq(model, self.config, wary=wary)
            for bar in model.bars:
                if bar.ram:
                    memory = BarMemory(
                        f"pymmio-{name}-bar{bar.index}", bar.size, sealed=wary, of=bar.memory_fd
                    )
                    undo.callback(memory.close)
                    self.memory[bar.index] = memory
            undo.pop_all()

    def free(self) -> None:
        """Free the memory of the BARs and close the model; once."""
        with ExitStack() as undo:
            undo.callback(self.model.close)
            for memory in self.memory.values():
                undo.callback(memory.close)
            self.memory = {}

    def reset_function(self) -> None:
        """Reset configuration space, interrupts and model."""
        self.config.reset()
        self.irq.reset()
        self._table[:] = bytes(len(self._table))
        self.model.reset()

    # --- accesses ------------------------------------------------------------------------------

    def bar_read(self, index: int, offset: int, width: int) -> int:
        """Make one read of a BAR that is not memory.  Raises AccessFault while it does not decode.

        The MSI-X table is the server's, all else the model's.  Raises ValueOutOfRange where the
        model answers what no bus can carry.
        """
        self.require_decoding(index, offset, width, is_write=False)
        at = self._in_table(index, offset, width)
        if at is not None:
            return int.from_bytes(self._table[at : at + width], "little")
        value = self.model.bar_read(index, offset, width)
        if not isinstance(value, int) or value >> 8 * width:  # of a negative one -1 is left
            raise self._impossible(index, offset, width, value)
        return value

    def bar_write(self, index: int, offset: int, width: int, value: int) -> None:
        """Make one write, likewise."""
        self.require_decoding(index, offset, width, is_write=True)
        at = self._in_table(index, offset, width)
        if at is None:
            self.model.bar_write(index, offset, width, value)
        else:
            self._table[at : at + width] = value.to_bytes(width, "little")

    def require_decoding(self, index: int, offset: int, width: int, *, is_write: bool) -> None:
        """Raise AccessFault while the function's BARs do not answer."""
        if not (self.config.is_memory_on and self.config.is_awake):
            raise AccessFault(
                f"{self.name}: BAR{index} does not answer at {offset:#x}",
                region=f"BAR{index}",
                offset=offset,
                width=width,
                is_write=is_write,
                hint="Set COMMAND.MEM in configuration space; wake the function to D0",
            )

    def _impossible(self, index: int, offset: int, width: int, value: object) -> ValueOutOfRange:
        return ValueOutOfRange(
            f"{self.name}: the model answers a read of {width} bytes at BAR{index}+{offset:#x} with"
            f" {value!r:.40}",
            region=f"BAR{index}",
            offset=offset,
            width=width,
            hint=f"Its bar_read() must return a number of {8 * width} bits, not negative",
        )

    def _in_table(self, index: int, offset: int, width: int) -> int | None:
        start = self._tables.get(index)
        if start is None or not start <= offset <= start + len(self._table) - width:
            return None
        return offset - start

    # --- ModelHost -------------------------------------------------------------------------------

    @property
    def device_memory(self) -> DeviceMemory:
        """The driver's memory, for the model."""
        raise NotImplementedError

    def dma_read(self, iova: int, size: int) -> bytes:
        """Read the driver's memory for the model."""
        self.require_master(iova)
        return self.device_memory.read(iova, size, self.name)

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        """Write the driver's memory for the model."""
        self.require_master(iova)
        self.device_memory.write(iova, data, self.name)

    def require_master(self, iova: int) -> None:
        """Raise IommuFault while the device may not access memory."""
        if not self.config.is_master_on:
            raise IommuFault(
                f"{self.name}: the device accessed IOVA {iova:#x} while bus mastering is off",
                hint="Call device.enable_bus_master() before the device is started",
            )

    def raise_irq(self, kind: IrqKind, vector: int = 0) -> None:
        """Signal an interrupt for the model."""
        self.irq.raise_irq(kind, vector)

    def lower_intx(self) -> None:
        """Deassert INTx for the model."""
        self.irq.lower_intx()

    def bar_memory(self, index: int) -> memoryview:
        """Return the memory behind a BAR that is plain memory."""
        return memoryview(self.memory[index].map)
