"""Memory at an address of the machine that a device sits in."""

from __future__ import annotations

import mmap
from typing import Protocol, runtime_checkable

from pymmio.backend.sysfs.devmem import open_physical
from pymmio.dax.memory import DaxMemory, Durability
from pymmio.dax.plain_memory import PlainMemory
from pymmio.device import Device
from pymmio.errors import Unsupported

__all__ = ["HasPhysicalMemory", "physical_memory"]

_ON_THIS_MACHINE = frozenset({"vfio", "sysfs"})


@runtime_checkable
class HasPhysicalMemory(Protocol):
    """A device handle that can reach memory of the machine that it brings along."""

    def physical_memory(self, start: int, size: int) -> tuple[int, int]:
        """Return (descriptor, offset in it); both stay the handle's."""
        ...


def physical_memory(
    device: Device, start: int, size: int, *, name: str, durability: Durability
) -> DaxMemory:
    """Return ``size`` bytes at ``start`` of the machine that ``device`` sits in.

    On this machine through /dev/mem, if nobody has the range: root, and a kernel that allows
    it, are needed; the exception says what is in the way, by the owner's name.  Of a machine
    that the backend brings along (QEMU), through its memory.  Raises Unsupported elsewhere.
    """
    if isinstance(device.handle, HasPhysicalMemory):
        fd, offset = device.handle.physical_memory(start, size)
        memory = mmap.mmap(fd, size, offset=offset)
        return PlainMemory(memory, name=name, durability=durability, release=memory.close)
    if device.uri.scheme in _ON_THIS_MACHINE:
        owned = open_physical(start, size, cached=True, unlisted=True)
        return PlainMemory(owned.region.view, name=name, durability=durability, release=owned.close)
    raise Unsupported(
        f"{device.uri.scheme}: leads to a device and not to its machine's memory",
        hint="Open the device on the machine itself, with vfio:",
    )
