"""Direct access to persistent and shared memory."""

from pymmio.dax.bounds import PAGE_SIZE
from pymmio.dax.device import DaxDevice
from pymmio.dax.device_memory import DeviceMemory, memory_of
from pymmio.dax.file import LOGICAL_BLOCK, PHYSICAL_BLOCK, AsyncDaxFile, DaxBlocks, DaxFile
from pymmio.dax.file_memory import open_path
from pymmio.dax.memory import DaxMemory, Durability
from pymmio.dax.physical_memory import physical_memory
from pymmio.dax.plain_memory import PlainMemory, write_back_name
from pymmio.dax.targets import DaxTarget, Linear, LoggedWrite, LogWrites, Stripe, replay

__all__ = [
    "LOGICAL_BLOCK",
    "PAGE_SIZE",
    "PHYSICAL_BLOCK",
    "AsyncDaxFile",
    "DaxBlocks",
    "DaxDevice",
    "DaxFile",
    "DaxMemory",
    "DaxTarget",
    "DeviceMemory",
    "Durability",
    "Linear",
    "LogWrites",
    "LoggedWrite",
    "PlainMemory",
    "Stripe",
    "memory_of",
    "open_path",
    "physical_memory",
    "replay",
    "write_back_name",
]
