"""The memory that subjects access while they are watched."""

from __future__ import annotations

import mmap
import os
from typing import Any

from pymmio.check.accessors._recorder import ffi

__all__ = ["Place", "address_of"]

LINE = 256
"""A multiple of the cache lines that there are: 64 (x86, Arm), 128 (POWER), 256 (z)."""


def address_of(buffer: Any) -> int:
    """Return where the memory of a writable buffer is."""
    return int(ffi.cast("uintptr_t", ffi.from_buffer("uint8_t[]", buffer)))


class Place:
    """A page of shared memory, as a device's resource file is mapped.

    ``buffer`` is what programs get from ``mmap.mmap``; ``address`` is watched.  A subject that
    maps the file itself says so by :meth:`watch`.
    """

    def __init__(self) -> None:
        self.size = mmap.PAGESIZE
        self.fd = os.memfd_create("pymmio-check")
        os.ftruncate(self.fd, self.size)
        self.buffer = mmap.mmap(self.fd, self.size)
        self.address = address_of(self.buffer)
        self._kept: list[object] = []

    def watch(self, buffer: Any, *keep: object) -> None:
        """Watch the memory of ``buffer``, a mapping of the same file, from now on."""
        self.address = address_of(buffer)
        self._kept += [buffer, *keep]

    def fill(self, byte: int) -> None:
        """Set all bytes, through the file: nothing that is watched is touched."""
        os.pwrite(self.fd, bytes([byte]) * self.size, 0)
