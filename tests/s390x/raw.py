"""The system calls of zPCI and raw mappings of a BAR: what the product's accessors stand on."""

from __future__ import annotations

import ctypes
import errno
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Linux arch/s390/kernel/syscalls/syscall.tbl
PCI_MMIO_WRITE, PCI_MMIO_READ = 352, 353

MAP_FIXED = 0x10
PROT_NONE = 0
PAGE = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def pci_call(number: int, address: int, buffer: int, length: int) -> str:
    """Return "ok", the name of the errno, or "cc N" of a positive result."""
    result: int = _libc.syscall(number, address, buffer, length)
    if result == 0:
        return "ok"
    return f"cc {result}" if result > 0 else errno.errorcode[ctypes.get_errno()]


@dataclass(frozen=True)
class Buffer:
    """Memory of two aligned pages."""

    memory: mmap.mmap
    address: int


def page_buffer() -> Buffer:
    """Return memory for the transfers."""
    memory = mmap.mmap(-1, 2 * PAGE)
    return Buffer(memory, ctypes.addressof(ctypes.c_char.from_buffer(memory)))


@contextmanager
def mapped(source: tuple[int, int], size: int, *, writable: bool = True) -> Iterator[int]:
    """Map a region for the block, with a page that belongs to nobody behind it; its address.

    It is unmapped in any case: what is mapped keeps the kernel from unbinding the device.
    """
    base = _mmap(None, size + PAGE, PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    try:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        _mmap(base, size, prot, mmap.MAP_SHARED | MAP_FIXED, *source)
        yield base
    finally:
        _libc.munmap(base, size + PAGE)


def _mmap(address: int | None, size: int, prot: int, flags: int, fd: int, offset: int) -> int:
    found: int = _libc.mmap(address, size, prot, flags, fd, offset)
    if found == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, errno.errorcode[number])
    return found
