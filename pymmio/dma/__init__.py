"""DMA memory: buffers that a device can reach, and the addresses that it sees them at."""

from pymmio.dma.budget import Budget, MemoryFacts, read_memory_facts
from pymmio.dma.buffer import DmaBuffer
from pymmio.dma.iova import IovaAllocator
from pymmio.dma.pool import DmaPool
from pymmio.dma.space import DmaSpace

__all__ = [
    "Budget",
    "DmaBuffer",
    "DmaPool",
    "DmaSpace",
    "IovaAllocator",
    "MemoryFacts",
    "read_memory_facts",
]
