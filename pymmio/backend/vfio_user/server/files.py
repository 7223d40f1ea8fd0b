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

from pymmio.backend.served import GuardedMemory
from pymmio.backend.vfio_user.server.refusal import Refusal
from pymmio.errors import PymmioError

__all__ = ["ClientFile", "ClientFiles"]

_F_GET_SEALS = getattr(fcntl, "F_GET_SEALS", 1034)


@dataclass(eq=False, slots=True)
class ClientFile:
    """A file of the client's, mapped from its beginning as far as it reaches."""

    key: tuple[int, int, bool]
    memory: GuardedMemory
    users: int = 0


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
        if file is None or file.memory.size < end:
            try:
                memory = GuardedMemory(fd, facts.st_size, "the client's memory", writable=writable)
            except PymmioError:
                return None
            if file is None:
                file = self._files[key] = ClientFile(key, memory)
            else:
                file.memory.close()
                file.memory = memory
        file.users += 1
        return file

    def release(self, file: ClientFile) -> None:
        """Count one user less; unmap the file with the last."""
        file.users -= 1
        if not file.users:
            del self._files[file.key]
            file.memory.close()


def _is_memory(fd: int) -> bool:
    """Tell whether the file has seals, if only none: those of tmpfs and hugetlbfs (fcntl(2))."""
    try:
        fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:
        return False
    return True
