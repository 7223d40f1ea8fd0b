"""A ModelHost for tests: memory ranges in a dict, and lists of what the model did."""

from __future__ import annotations

from pymmio.errors import IommuFault
from pymmio.handle import IrqKind


class FakeHost:
    """Serves DMA from ranges that were mapped, refuses everything else as an IOMMU would."""

    def __init__(self) -> None:
        self.ranges: dict[int, bytearray] = {}
        self.irqs: list[tuple[IrqKind, int]] = []
        self.intx_level = False
        self.faults: list[tuple[int, int]] = []
        self.reads = 0
        self.writes = 0

    def map(self, iova: int, size: int) -> bytearray:
        memory = bytearray(size)
        self.ranges[iova] = memory
        return memory

    def unmap(self, iova: int) -> None:
        del self.ranges[iova]

    def _find(self, iova: int, size: int) -> tuple[bytearray, int]:
        assert isinstance(iova, int)
        assert isinstance(size, int)
        assert size >= 0
        for base, memory in self.ranges.items():
            if base <= iova and iova + size <= base + len(memory):
                return memory, iova - base
        self.faults.append((iova, size))
        raise IommuFault(f"device access to {iova:#x}, {size} bytes, is not mapped")

    def dma_read(self, iova: int, size: int) -> bytes:
        self.reads += 1
        memory, offset = self._find(iova, size)
        return bytes(memory[offset : offset + size])

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        view = memoryview(data)
        assert view.itemsize == 1
        memory, offset = self._find(iova, len(view))
        memory[offset : offset + len(view)] = view

    def raise_irq(self, kind: IrqKind, vector: int = 0) -> None:
        self.irqs.append((kind, vector))
        if kind is IrqKind.INTX:
            self.intx_level = True

    def lower_intx(self) -> None:
        self.intx_level = False

    def bar_memory(self, index: int) -> memoryview:
        raise AssertionError(f"BAR {index} was not declared as memory")

    def take_irqs(self, kind: IrqKind) -> list[int]:
        """Return the vectors of this kind that were signalled, and forget all."""
        vectors = [vector for seen, vector in self.irqs if seen is kind]
        self.irqs.clear()
        return vectors
