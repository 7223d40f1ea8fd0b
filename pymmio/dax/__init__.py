"""Direct access to persistent and shared memory."""

from pymmio.dax.memory import DaxMemory
from pymmio.dax.region_memory import RegionMemory

__all__ = ["DaxMemory", "RegionMemory"]
