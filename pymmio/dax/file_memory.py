"""Memory that has a path: /dev/dax, a file on a DAX file system, a block device, a plain file."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import sys
from contextlib import ExitStack
from pathlib import Path

from pymmio.dax.memory import Durability
from pymmio.dax.plain_memory import PlainMemory
from pymmio.errors import BadArgument, DeviceNotFound, PermissionRefused, PymmioError, Unsupported

__all__ = ["open_path"]

_BLKGETSIZE64 = 0x80081272  # Linux include/uapi/linux/fs.h
_MAP_SHARED_VALIDATE, _MAP_SYNC = 0x03, 0x80000  # Linux include/uapi/linux/mman.h


def open_path(path: str | os.PathLike[str], *, size: int | None = None) -> PlainMemory:
    """Map a file, a /dev/dax device or a block device (such as dcssblk's) whole, shared.

    /dev/dax and files of DAX file systems are mapped so that writing caches back makes them
    durable (MAP_SYNC); everything else becomes durable by fsync.  ``size`` makes a plain file
    that does not exist, or is smaller, that large.

    Raises DeviceNotFound, PermissionRefused, BadArgument for an empty file, Unsupported where
    it cannot be mapped.
    """
    name = os.fspath(path)
    with ExitStack() as undo:
        fd = _open(name, create=size is not None)
        undo.callback(os.close, fd)
        kind = os.fstat(fd).st_mode
        length = _length(name, fd, kind, size)
        memory, is_dax = _map(name, fd, length, is_device=stat.S_ISCHR(kind))
        undo.callback(memory.close)
        made = PlainMemory(
            memory,
            name=name,
            durability=Durability.WRITE_BACK if is_dax else Durability.SYNC,
            sync=lambda offset, count: os.fdatasync(fd),
            release=lambda: _release(memory, fd),
        )
        undo.pop_all()
    return made


def _open(name: str, *, create: bool) -> int:
    try:
        return os.open(name, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError as error:
        raise DeviceNotFound(f"{name} does not exist", hint="Give size= to make a file") from error
    except PermissionError as error:
        raise PermissionRefused(
            f"{name}: {error.strerror}", hint="It is opened for reading and writing"
        ) from error
    except OSError as error:
        raise Unsupported(f"{name}: {error.strerror}") from error


def _length(name: str, fd: int, kind: int, size: int | None) -> int:
    if stat.S_ISBLK(kind):
        length = int.from_bytes(fcntl.ioctl(fd, _BLKGETSIZE64, bytes(8)), sys.byteorder)
    elif stat.S_ISCHR(kind):
        length = _devdax_size(name, fd)
    else:
        if size is not None and os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        length = os.fstat(fd).st_size
    if not length:
        raise BadArgument(f"{name} is empty", hint="Give size= to make it larger")
    return length


def _devdax_size(name: str, fd: int) -> int:
    """Return the size of a device DAX, which only sysfs knows."""
    number = os.fstat(fd).st_rdev
    where = Path(f"/sys/dev/char/{os.major(number)}:{os.minor(number)}")
    try:
        if (where / "subsystem").resolve().name != "dax":
            raise Unsupported(f"{name} is a character device, and no /dev/dax")
        return int((where / "size").read_text())
    except OSError as error:
        raise Unsupported(f"{name}: its size is not in {where}") from error


def _map(name: str, fd: int, length: int, *, is_device: bool) -> tuple[mmap.mmap, bool]:
    """Map with MAP_SYNC where the file system has it; return whether it did."""
    for flags, is_dax in ((_MAP_SHARED_VALIDATE | _MAP_SYNC, True), (mmap.MAP_SHARED, is_device)):
        try:
            return mmap.mmap(fd, length, flags=flags), is_dax
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL) or not is_dax:
                raise _refused(name, length, error) from error
    raise AssertionError("unreachable")


def _refused(name: str, length: int, error: OSError) -> PymmioError:
    kind = PermissionRefused if error.errno in (errno.EACCES, errno.EPERM) else Unsupported
    return kind(
        f"{name}: {length:#x} bytes cannot be mapped: {error.strerror}",
        hint="/dev/dax takes whole multiples of its alignment",
    )


def _release(memory: mmap.mmap, fd: int) -> None:
    memory.close()
    os.close(fd)
