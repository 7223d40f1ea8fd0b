"""Shared memory that can be handed to a device: a memfd and its mapping in this process."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from contextlib import ExitStack

from pymmio.errors import DmaError, Unsupported

__all__ = ["SharedMemory"]


class SharedMemory:
    """A memfd mapped shared, readable and writable.  ``size`` is in bytes, in whole pages.

    Its size is sealed, so that nobody who gets the descriptor can cut the memory away under
    this process.  Costs two descriptors: Python's mmap duplicates the one it gets.
    """

    def __init__(
        self, size: int, *, hugepages: bool = False, piece_of: tuple[int, int] | None = None
    ) -> None:
        """Make a memfd, or take (descriptor, offset) of one that is sealed, which is duplicated."""
        self.size = size
        self.offset = 0 if piece_of is None else piece_of[1]  #: in the file, of the first byte
        with ExitStack() as undo:
            try:
                self.fd = _make(hugepages) if piece_of is None else _duplicate(piece_of[0])
                undo.callback(os.close, self.fd)
                if piece_of is None:
                    os.ftruncate(self.fd, size)
                    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
                    fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
                self._mapping = mmap.mmap(
                    self.fd,
                    size,
                    mmap.MAP_SHARED,
                    mmap.PROT_READ | mmap.PROT_WRITE,
                    offset=self.offset,
                )
            except OSError as error:
                raise _explained(error, size, hugepages) from error
            undo.callback(self._mapping.close)
            self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
            undo.pop_all()

    def view(self) -> memoryview:
        """Return the whole memory; ``close`` fails until this view is released."""
        return memoryview(self._mapping)

    def populate(self, page_size: int) -> None:
        """Have the kernel take each page, ``page_size`` bytes large, from memory now."""
        for offset in range(0, self.size, page_size):
            self._mapping[offset] = 0

    def close(self) -> None:
        """Unmap the memory and close the descriptor.

        Where views still exist the memory itself stays until the last of them is gone, or
        until the next call when they are.
        """
        fd, self.fd = self.fd, -1
        try:
            self._mapping.close()
        except BufferError:
            pass  # the views own the mapping now; it is unmapped with the last of them
        finally:
            if fd >= 0:
                os.close(fd)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.fd < 0


def _make(hugepages: bool) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | (os.MFD_HUGETLB if hugepages else 0)
    return os.memfd_create("pymmio-dma", flags)


def _duplicate(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)


def _explained(error: OSError, size: int, hugepages: bool) -> DmaError | Unsupported:
    what = f"cannot make {size} bytes of shared memory{' in huge pages' if hugepages else ''}"
    message = f"{what}: {error.strerror}"
    if hugepages and error.errno in (errno.EINVAL, errno.ENOSYS):
        return Unsupported(message, hint="This kernel has no huge pages; use hugepages=False")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return DmaError(
            message,
            hint="Raise the limit of open files (ulimit -n; a buffer takes two), or cut many"
            " small pieces from one buffer with DmaPool",
        )
    if hugepages and error.errno == errno.ENOMEM:
        return DmaError(message, hint="As root set a larger pool: sysctl vm.nr_hugepages=N")
    return DmaError(message, hint="Ask for less memory")
