"""The few system calls that the VFIO backend makes, behind one Protocol.

Everything in this package that touches the machine goes through a :class:`Kernel`, so
that tests can put a kernel of their own in its place and let each step fail.
"""

from __future__ import annotations

import fcntl
import os
from typing import Protocol

__all__ = ["Kernel", "LinuxKernel"]


class Kernel(Protocol):
    """System calls as the VFIO backend needs them.  All of them raise OSError."""

    def open(self, path: str, flags: int) -> int:
        """Open ``path`` and return its descriptor, closed on exec."""
        ...

    def close(self, fd: int) -> None: ...

    def ioctl(self, fd: int, request: int, argument: bytearray | int = 0) -> int:
        """Make an ioctl; a bytearray is handed over in place and changed by the kernel."""
        ...

    def pread(self, fd: int, size: int, offset: int) -> bytes: ...

    def pwrite(self, fd: int, data: bytes, offset: int) -> int: ...

    def replace_by_nothing(self, fd: int) -> None:
        """Let the number ``fd`` stand for a descriptor that can neither read nor write.

        For a forked child: the file is let go there, and the number is not given to a
        file opened later, which somebody who remembers it would then write to.
        """
        ...

    def exists(self, path: str) -> bool: ...

    def read_text(self, path: str) -> str:
        """Return the content of a small file without the white space around it."""
        ...

    def read_link(self, path: str) -> str: ...

    def list_directory(self, path: str) -> list[str]: ...

    def owner_of(self, path: str) -> tuple[int, int, int]:
        """Return owner, group and permission bits of a file."""
        ...

    def release(self) -> str:
        """Return the kernel's release, such as ``6.12.57-amd64``."""
        ...

    def machine(self) -> str:
        """Return the machine's name as ``uname -m`` prints it."""
        ...


class LinuxKernel:
    """The running kernel."""

    def open(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def ioctl(self, fd: int, request: int, argument: bytearray | int = 0) -> int:
        # A bytes object would be copied, and with it the descriptor or the answer lost;
        # a bytearray is changed in place (mutate_flag is True).
        return fcntl.ioctl(fd, request, argument)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def replace_by_nothing(self, fd: int) -> None:
        nothing = os.open("/", os.O_PATH | os.O_CLOEXEC)  # O_PATH: pread and pwrite give EBADF
        try:
            os.dup2(nothing, fd, inheritable=False)
        finally:
            os.close(nothing)

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def read_text(self, path: str) -> str:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()

    def read_link(self, path: str) -> str:
        return os.readlink(path)

    def list_directory(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def owner_of(self, path: str) -> tuple[int, int, int]:
        status = os.stat(path)
        return status.st_uid, status.st_gid, status.st_mode & 0o7777

    def release(self) -> str:
        return os.uname().release

    def machine(self) -> str:
        return os.uname().machine
