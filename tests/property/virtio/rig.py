"""A driver's engine and a device's ring over the same plain memory, side by side."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from pymmio.arch import ffi as core_ffi
from pymmio.models.virtio.ring import Chain, PackedRing, Ring, SplitRing
from pymmio.testing import mapped_region
from pymmio.virtio.queue.engine import Engine, Piece, ffi
from pymmio.virtio.queue.layout import QueueLayout

RING_IOVA = 0x10_0000
INDIRECT_MAX = 4


@dataclass(frozen=True)
class Format:
    """Which ring: its size and the features that change it."""

    size: int
    is_packed: bool
    has_event_idx: bool
    has_indirect: bool

    def __str__(self) -> str:
        names = ["packed" if self.is_packed else "split", str(self.size)]
        return "-".join(names + ["event"] * self.has_event_idx + ["indirect"] * self.has_indirect)


FORMATS = [
    Format(size, is_packed, has_event_idx, has_indirect)
    for size in (1, 4, 8)
    for is_packed in (False, True)
    for has_event_idx in (False, True)
    for has_indirect in (False, True)
]
ODD = [Format(3, True, True, True), Format(7, True, False, False)]  # packed: any size


class PlainMemory:
    """What the device reaches: the ring only."""

    def __init__(self, size: int) -> None:
        self.bytes = bytearray(size)
        self.view = core_ffi.from_buffer(self.bytes)
        self.address = int(core_ffi.cast("uintptr_t", self.view))

    def dma_read(self, iova: int, size: int) -> bytes:
        at = iova - RING_IOVA
        assert 0 <= at <= at + size <= len(self.bytes)
        return bytes(self.bytes[at : at + size])

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        at = iova - RING_IOVA
        assert 0 <= at <= at + len(data) <= len(self.bytes)
        self.bytes[at : at + len(data)] = data


class Rig:
    """An engine, and the device that it drives."""

    def __init__(self, form: Format) -> None:
        self.format = form
        self.layout = QueueLayout.of(
            form.size,
            is_packed=form.is_packed,
            indirect_max=INDIRECT_MAX if form.has_indirect else 0,
        )
        self.memory = PlainMemory(self.layout.total)
        self._bell = mapped_region(4096)
        self.engine = Engine(
            5,
            self.layout,
            address=self.memory.address,
            iova=RING_IOVA,
            doorbell=self._bell.doorbell(0, 2),
            has_event_idx=form.has_event_idx,
        )
        self.device: Ring = self._new_device()

    def _new_device(self) -> Ring:
        kind = PackedRing if self.format.is_packed else SplitRing
        return kind(
            self.memory,
            self.format.size,
            RING_IOVA,
            RING_IOVA + self.layout.driver,
            RING_IOVA + self.layout.device,
            has_event_idx=self.format.has_event_idx,
            has_indirect=self.format.has_indirect,
        )

    def notified(self) -> int | None:
        """Return the queue that was notified since the last call, None if none was."""
        value, _ = self._bell.read16(0), self._bell.write16(0, 0)
        return value or None

    def run(self, count: int) -> None:
        """Let ``count`` buffers go through, one after the other."""
        for number in range(count):
            buffer_id = self.engine.add(
                [Piece(number, 1)], [Piece(number, 2)][: self.layout.size - 1]
            )
            assert buffer_id is not None
            self.engine.kick()
            chain = self.device.pop()
            assert chain is not None
            assert chain.readable == ((number, 1),)
            written = 2 * len(chain.writable)
            self.device.push(chain, written)
            self.device.should_interrupt()
            assert self.device.pop() is None
            used, error = self.engine.reap()
            assert error is None
            assert used == [(buffer_id, written)]

    def save(self) -> tuple[bytes, bytes, Ring]:
        """Return the whole state, for ``restore``."""
        state = bytes(ffi.buffer(self.engine._memory))
        return state, bytes(self.memory.bytes), copy.copy(self.device)

    def restore(self, saved: tuple[bytes, bytes, Ring]) -> None:
        """Go back to a saved state of this very rig."""
        state, memory, device = saved
        ffi.buffer(self.engine._memory)[:] = state
        self.memory.bytes[:] = memory
        self.device = copy.copy(device)
        self.notified()


def pieces(chain: Chain) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Return what the device sees of a buffer."""
    return chain.readable, chain.writable
