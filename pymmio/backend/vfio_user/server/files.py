"""Files of the client's memory, each mapped once however many pieces of it are lent.

A client may truncate a file while it is mapped here: every access goes through the C core's
exception table, and becomes an error instead of a SIGBUS.  Only files of memory (tmpfs,
hugetlbfs, memfd) are mapped: others, such as those of a FUSE server, could keep an access from
ever coming back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import dataclass
from typing import Any

from pymmio.arch import ffi, lib
from pymmio.backend.vfio_user.server.refusal import Refusal
from pymmio.errors import PymmioError
from pymmio.mmio import Mapping

__all__ = ["ClientFile", "ClientFiles"]

_F_GET_SEALS = getattr(fcntl, "F_GET_SEALS", 1034)


_MOVED = ffi.new("size_t *")  # nobody asks how far a copy that failed has come


@dataclass(eq=False, slots=True)
class ClientFile:
    """A file of the client's, mapped from its beginning as far as it reaches."""

    key: tuple[int, int, bool]
    mapping: Mapping
    users: int = 0

    def read(self, offset: int, size: int) -> bytes | None:
        """Copy bytes out; None where the file was cut off."""
        data = bytearray(size)
        target = ffi.from_buffer(data)
        try:
            return bytes(data) if self._copy(lib.pm_copy_from, target, offset, size) else None
        finally:
            ffi.release(target)

    def write(self, offset: int, data: memoryview) -> bool:
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
            if copy(self.mapping.cdata, at, memory + done, count, width, _MOVED):
                return False
            done += count
        return True


class ClientFiles:
    """The files that are mapped, by inode and by whether they can be written."""

    def __init__(self, most: int) -> None:
        """``most`` files are mapped at the same time."""
        self._most = most
        self._files: dict[tuple[int, int, bool], ClientFile] = {}

    def __len__(self) -> int:
        return len(self._files)

    def use(self, fd: int, end: int, *, writable: bool) -> ClientFile | None:
        """Return the file of which the bytes before ``end`` are lent; count one user more.

        The descriptor stays the caller's.  None where the file should not be mapped, or cannot:
        its memory can be reached by message.  Raises Refusal where it has no such bytes.
        """
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise Refusal(errno.EINVAL, "the descriptor of a DMA_MAP is not of a file")
        if end > facts.st_size:
            raise Refusal(errno.EINVAL, f"{end:#x} bytes of a file of {facts.st_size:#x}")
        if not _is_memory(fd):
            return None
        key = (facts.st_dev, facts.st_ino, writable)
        file = self._files.get(key)
        if file is None and len(self._files) >= self._most:
            raise Refusal(errno.ENOSPC, f"{self._most} files of memory are in use")
        if file is None or file.mapping.size < end:
            try:
                mapping = Mapping.of_file(
                    fd, 0, facts.st_size, "memory of the client", writable=writable
                )
            except PymmioError:
                return None
            if file is None:
                file = self._files[key] = ClientFile(key, mapping)
            else:
                file.mapping.close()
                file.mapping = mapping
        file.users += 1
        return file

    def release(self, file: ClientFile) -> None:
        """Count one user less; unmap the file with the last."""
        file.users -= 1
        if not file.users:
            del self._files[file.key]
            file.mapping.close()


def _is_memory(fd: int) -> bool:
    """Tell whether the file has seals, if only none: those of tmpfs and hugetlbfs (fcntl(2))."""
    try:
        fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:
        return False
    return True
