"""A virtio device for tests: what is read comes back in what may be written."""

from __future__ import annotations

from pymmio.models.virtio.device import SharedMemory, VirtioModel
from pymmio.models.virtio.ring import Chain


class EchoModel(VirtioModel):
    """Two queues; each thing that a device may do wrong is an attribute."""

    device_type = 42
    queue_sizes = (16, 4)

    def __init__(self) -> None:
        self.config = bytearray(range(32))
        self.chains: list[tuple[int, Chain]] = []
        self.kept: list[tuple[int, Chain]] = []
        self.is_holding = False
        self.refuses_features = False
        self.never_resets = False
        self.changes_during_reads = 0
        self.written: list[tuple[int, int, int]] = []
        self.resets = 0
        super().__init__()

    def config_bytes(self) -> bytes:
        data = bytes(self.config)
        if self.changes_during_reads:
            self.changes_during_reads -= 1
            self.config[0] ^= 0xFF
            self.config_changed()
        return data

    def config_written(self, offset: int, width: int, value: int) -> None:
        self.written.append((offset, width, value))

    def accepts(self) -> bool:
        return super().accepts() and not self.refuses_features

    def serve(self, queue: int, chain: Chain) -> int | None:
        self.chains.append((queue, chain))
        if self.is_holding:
            self.kept.append((queue, chain))
            return None
        return chain.write(self.host, chain.read(self.host))

    def give_back(self) -> None:
        """Return what was kept, the latest first."""
        while self.kept:
            queue, chain = self.kept.pop()
            self.complete(queue, chain, chain.write(self.host, chain.read(self.host)))

    def was_reset(self) -> None:
        self.resets += 1
        self.kept.clear()

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        if self.never_resets and (bar, offset, width) == (4, 0x14, 1):
            return 1
        return super().bar_read(bar, offset, width)


__all__ = ["EchoModel", "SharedMemory"]
