"""RAM of the machine: a file in memory, lent in pieces in place of the callers' own memory."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack

from pymmio.errors import DmaError

__all__ = ["Ram"]

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
)
_munmap = _libc.munmap
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_fallocate = _libc.fallocate64 if hasattr(_libc, "fallocate64") else _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_MAP_FAILED = ctypes.c_void_p(-1).value
_MAP_FIXED = 0x10  # the same on all architectures of Linux that pymmio knows
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h


class Ram:
    """A sealed memfd that takes no memory until it is written to; ``size`` in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        with ExitStack() as undo:
            try:
                self.fd = os.memfd_create("pymmio-qemu-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                undo.callback(os.close, self.fd)
                os.ftruncate(self.fd, size)
                seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
                fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
                self._mapping = mmap.mmap(self.fd, size)
            except OSError as error:
                raise DmaError(
                    f"cannot make {size} bytes of memory for QEMU: {error.strerror}",
                    hint="Ask for less with ram=, or raise ulimit -v",
                ) from error
            self.view = memoryview(self._mapping)
            undo.pop_all()

    def lend(self, offset: int, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Put a piece of RAM where the caller has its own memory mapped, with its contents."""
        self.forget(offset, size)
        start = self._address(offset)
        for at, length in _data(fd, fd_offset, size):
            ctypes.memmove(start + at, address + at, length)
        _map(address, size, self.fd, offset)

    def take_back(self, offset: int, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Put the caller's own memory back in its place, with what is in RAM now."""
        own = _map(None, size, fd, fd_offset)  # Python's mmap would take a descriptor
        try:
            if any(True for _ in _data(fd, fd_offset, size)):
                ctypes.memset(own, 0, size)
            for at, length in _data(self.fd, offset, size):
                ctypes.memmove(own + at, address + at, length)
            _map(address, size, fd, fd_offset)
        finally:
            _munmap(own, size)
        self.forget(offset, size)

    def close(self) -> None:
        """Let go of the memory; pieces that were lent stay valid for who has them mapped."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self.view.release()
            self._mapping.close()
            os.close(fd)

    def _address(self, offset: int) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self._mapping, offset))

    def forget(self, offset: int, size: int) -> None:
        """Make a piece zeros that take no memory."""
        if _fallocate(self.fd, _KEEP_SIZE | _PUNCH_HOLE, offset, size):
            number = ctypes.get_errno()
            raise DmaError(f"cannot clear {size} bytes of QEMU's memory: {os.strerror(number)}")


def _data(fd: int, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the pieces, offset from ``start`` and size, of a file that may be other than zeros."""
    end = start + size
    at = start
    while at < end:
        try:
            first = os.lseek(fd, at, os.SEEK_DATA)
            after = os.lseek(fd, first, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but zeros from here on
                return
            first, after = at, end  # a file system that does not tell
        if first >= end:
            return
        yield first - start, min(after, end) - first
        at = after


def _map(address: int | None, size: int, fd: int, offset: int) -> int:
    """Map a file shared; at ``address`` it replaces what is there in one step."""
    prot = mmap.PROT_READ | mmap.PROT_WRITE
    flags = mmap.MAP_SHARED | (0 if address is None else _MAP_FIXED)
    found = _mmap(address, size, prot, flags, fd, offset)
    if found == _MAP_FAILED or found is None:
        number = ctypes.get_errno()
        raise DmaError(f"cannot map {size} bytes of shared memory: {os.strerror(number)}")
    return int(found)
