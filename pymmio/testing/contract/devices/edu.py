"""The edu device (QEMU, docs/specs/edu.rst)."""

from __future__ import annotations

from typing import ClassVar

from pymmio.handle import CONFIG_REGION
from pymmio.testing.contract.check import Ability
from pymmio.testing.contract.devices.base import Echo, Exerciser, Fixed, Poll

__all__ = ["EduExerciser"]

_LIVENESS, _FACTORIAL, _STATUS = 0x04, 0x08, 0x20
_IRQ_STATUS, _IRQ_RAISE, _IRQ_ACKNOWLEDGE = 0x24, 0x60, 0x64
_DMA_SOURCE, _DMA_DESTINATION, _DMA_COUNT, _DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
_DMA_START, _DMA_TO_MEMORY = 1, 2
_BUFFER = 0x40000
_ALL = 0xFFFF_FFFF


class EduExerciser(Exerciser):
    """Factorials for work, 4 KiB of memory inside, one MSI vector and the pin."""

    abilities: ClassVar = frozenset(
        {Ability.WORK, Ability.DMA, Ability.INTERRUPTS, Ability.INTX, Ability.MESSAGES}
    )
    fixed = (Fixed(0, 0x00, 4, 0xFF, 0xED),)
    echoes = (
        Echo(0, _LIVENESS, 4, _ALL, is_inverted=True),
        Echo(0, _DMA_SOURCE, 8, (1 << 64) - 1),
        Echo(0, _DMA_DESTINATION, 8, (1 << 64) - 1),
    )
    address_bits = 28  # as delivered
    limit = 2048  # QEMU 7.2 ends itself when a transfer touches the last byte of the 4 KiB

    def identify(self) -> None:
        config = self.device.config
        assert (config.vendor_id, config.device_id) == (0x1234, 0x11E8), config
        assert self.device.region(CONFIG_REGION).read32(0) == 0x11E81234

    def make_unlike_new(self) -> None:
        self.bar.write64(_DMA_SOURCE, 0x1234)

    def is_like_new(self) -> bool:
        return self.bar.read64(_DMA_SOURCE) == 0

    def never(self) -> Poll:
        self.bar.write32(_LIVENESS, 0)
        return Poll(0, _LIVENESS, 1, 0)

    def work(self) -> Poll:
        self.bar.write32(_FACTORIAL, 6)
        return Poll(0, _STATUS, 1, 0)

    def worked(self) -> None:
        seen = self.bar.read32(_FACTORIAL)
        assert seen == 720, f"6! is {seen}"

    def start(self, vectors: int = 0) -> None:
        self.device.enable_bus_master()

    def fetch(self, iova: int, size: int) -> bool:
        return self._move(iova, _BUFFER, size, _DMA_START)

    def store(self, iova: int, size: int) -> bool:
        return self._move(_BUFFER, iova, size, _DMA_START | _DMA_TO_MEMORY)

    def _move(self, source: int, destination: int, size: int, command: int) -> bool:
        bar = self.bar
        bar.write64(_DMA_SOURCE, source)
        bar.write64(_DMA_DESTINATION, destination)
        bar.write64(_DMA_COUNT, size)
        bar.write64(_DMA_COMMAND, command)
        bar.wait64(_DMA_COMMAND, mask=_DMA_START, value=0, timeout_s=self.patience_s)
        return True  # it has no way to say that it could not

    def fire(self, vector: int = 0) -> None:
        self.bar.write32(_IRQ_RAISE, 0x4)

    def acknowledge(self, vector: int = 0) -> None:
        self.bar.write32(_IRQ_ACKNOWLEDGE, 0x4)
        left = self.bar.read32(_IRQ_STATUS)
        assert left == 0, f"the interrupt status is {left:#x} after everything was acknowledged"

    def stop(self) -> None:
        self.bar.write32(_IRQ_ACKNOWLEDGE, _ALL)
