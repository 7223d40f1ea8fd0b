"""A driver for the edu device: ``python edu_driver.py [URI]``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Self

from edu_registers import DMA_COMMAND, Registers

import pymmio
from pymmio.arch.barriers import dma_rmb, dma_wmb
from pymmio.errors import BadArgument, DeviceNotFound
from pymmio.owner import Owner

MAGIC = 0x00ED
DEVICE_BUFFER = 0x40000  # where the device has its own memory, as its DMA engine sees it
DEVICE_BUFFER_SIZE = 4096
ADDRESS_BITS = 28  # the device drives no more address lines


class Edu(Owner):
    """An edu device.  Close it, or use it in a ``with`` statement."""

    def __init__(self, device: pymmio.Device) -> None:
        self.device = device
        self.registers = Registers(device.region(0))
        identification = self.registers.identification.read()
        if identification.magic != MAGIC:
            raise DeviceNotFound(f"{device.name} is no edu device: {identification}")
        device.enable_bus_master()
        self.interrupt = device.irqs.msi[0]
        self.buffer = device.dma.alloc(DEVICE_BUFFER_SIZE, address_bits=ADDRESS_BITS)

    @classmethod
    def open(cls, uri: str) -> Self:
        """Open the device that ``uri`` names; nothing stays open where a step fails."""
        with ExitStack() as undo:
            edu = cls(undo.enter_context(pymmio.open_device(uri)))
            undo.pop_all()
        return edu

    def close(self) -> None:
        """Stop the device and give everything back."""
        self.device.close()

    def is_alive(self, pattern: int = 0x5A5A_A5A5) -> bool:
        """Ask the device to invert a number."""
        self.registers.liveness.write(pattern)
        return self.registers.liveness.read() == pattern ^ 0xFFFF_FFFF

    def factorial(self, number: int, *, timeout_s: float = 1.0) -> int:
        """Return ``number!`` modulo 2**32, waiting for the device's interrupt."""
        self.interrupt.try_take()  # events that nobody waited for
        self.registers.status.update(irq_when_done=1)
        self.registers.factorial.write(number)
        self.interrupt.wait(timeout_s)
        self.registers.irq_acknowledge.write(int(self.registers.irq_status.read()))
        # An interrupt may be an old one: what counts is what the device says.
        self.registers.status.wait_until(computing=0, timeout_s=timeout_s)
        return int(self.registers.factorial.read())

    def put(self, data: bytes) -> None:
        """Let the device fetch ``data`` into its own memory."""
        self._check_size(len(data))
        memoryview(self.buffer)[: len(data)] = data
        self._transfer(self.buffer.iova, DEVICE_BUFFER, len(data), to_memory=0)

    def get(self, size: int) -> bytes:
        """Let the device write ``size`` bytes of its memory into ours, and return them."""
        self._check_size(size)
        self._transfer(DEVICE_BUFFER, self.buffer.iova, size, to_memory=1)
        return bytes(memoryview(self.buffer)[:size])

    def _transfer(self, source: int, destination: int, size: int, *, to_memory: int) -> None:
        self.registers.dma_source.write(source)
        self.registers.dma_destination.write(destination)
        self.registers.dma_count.write(size)
        self.buffer.hold()  # until the device is done, nobody may free the memory
        dma_wmb()  # our data is in memory before the device is told to fetch it
        self.registers.dma_command.write(DMA_COMMAND(start=1, to_memory=to_memory))
        self.registers.dma_command.wait_until(start=0, timeout_s=1.0)
        dma_rmb()  # the device says done, then we look at what it wrote
        self.buffer.release()

    @staticmethod
    def _check_size(size: int) -> None:
        if not 0 < size <= DEVICE_BUFFER_SIZE:
            raise BadArgument(f"{size} bytes do not fit", hint=f"1 to {DEVICE_BUFFER_SIZE} do")


def main(uri: str) -> None:
    """Show what the device can do."""
    with Edu.open(uri) as edu:
        print("alive:", edu.is_alive())
        print("10! =", edu.factorial(10))
        edu.put(b"Hello, device!")
        print("back from the device:", edu.get(14))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sim:edu")
