"""Memory that somebody else may cut off at any time: a copy then fails, nobody gets a SIGBUS."""

from __future__ import annotations

from typing import Any

from pymmio.arch import ffi, lib
from pymmio.mmio import Mapping

__all__ = ["GuardedMemory"]

_MOVED = ffi.new("size_t *")  # nobody asks how far a copy that failed has come


class GuardedMemory:
    """The first ``size`` bytes of a file, mapped; every copy goes through the exception table.

    The descriptor stays the caller's and may be closed.  Raises what
    :meth:`~pymmio.mmio.Mapping.of_file` raises.
    """

    def __init__(self, fd: int, size: int, name: str, *, writable: bool = True) -> None:
        self._mapping = Mapping.of_file(fd, 0, size, name, writable=writable)

    @property
    def size(self) -> int:
        """How much is mapped, in bytes."""
        return self._mapping.size

    def read(self, offset: int, size: int) -> bytes | None:
        """Copy bytes out; None where the file was cut off."""
        data = bytearray(size)
        target = ffi.from_buffer(data)
        try:
            return bytes(data) if self._copy(lib.pm_copy_from, target, offset, size) else None
        finally:
            ffi.release(target)

    def write(self, offset: int, data: bytes | memoryview) -> bool:
        """Copy bytes in; False where the file was cut off, some may be written then."""
        source = ffi.from_buffer(data)
        try:
            return self._copy(lib.pm_copy_to, source, offset, len(data))
        finally:
            ffi.release(source)

    def _copy(self, copy: Any, memory: Any, offset: int, size: int) -> bool:
        """Copy in as few pieces of one width each as there can be."""
        done = 0
        while done < size:
            at, left = offset + done, size - done
            if at % 8 == 0 and left >= 8:
                width, count = 8, left & ~7
            else:
                width = next(w for w in (4, 2, 1) if at % w == 0 and left >= w)
                count = width
            if copy(self._mapping.cdata, at, memory + done, count, width, _MOVED):
                return False
            done += count
        return True

    def close(self) -> None:
        """Unmap it.  Again is fine."""
        self._mapping.close()
