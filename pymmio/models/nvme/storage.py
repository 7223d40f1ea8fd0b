"""What holds the blocks: sparse anonymous memory, or a file."""

from __future__ import annotations

import abc
import contextlib
import errno
import fcntl
import mmap
import os
import platform
import stat

from pymmio.errors import BudgetExceeded, DeviceBusy, PermissionRefused, UriError
from pymmio.models.nvme.status import CommandError, Status

__all__ = ["FileStorage", "MemoryStorage", "Storage"]

# Python has a name for it since 3.13; the numbers are those of Linux's uapi headers.
_MAP_NORESERVE: int = getattr(
    mmap, "MAP_NORESERVE", 0x40 if platform.machine().startswith("ppc") else 0x4000
)
_ZERO_CHUNK = bytes(1 << 20)


class Storage(abc.ABC):
    """A row of bytes.  Callers keep offsets inside ``size``.

    Media errors are CommandError with Unrecovered Read Error or Write Fault.
    """

    size: int
    name: str

    @abc.abstractmethod
    def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return bytes; a view is only good until the next call."""

    @abc.abstractmethod
    def write(self, offset: int, data: bytes | memoryview) -> None: ...

    @abc.abstractmethod
    def zero(self, offset: int, size: int) -> None:
        """Make a range read as zeroes, giving the space back where that is possible."""

    @abc.abstractmethod
    def flush(self) -> None:
        """Return when all that was written survives a loss of power."""

    @abc.abstractmethod
    def close(self) -> None: ...


class MemoryStorage(Storage):
    """Anonymous memory; pages that were never written take no space."""

    name = "memory"

    def __init__(self, size: int) -> None:
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        try:
            self._map = mmap.mmap(-1, size, flags=flags)
        except (OSError, OverflowError, ValueError) as error:
            raise BudgetExceeded(
                f"{size} bytes of address space for the model's blocks were refused: {error}",
                hint="Choose a smaller size=, or file= for a sparse file",
            ) from error
        self._view = memoryview(self._map)
        self._can_discard = self._try_discard()

    def _try_discard(self) -> bool:
        """Tell whether discarded pages read as zeroes; user-mode emulators may ignore it."""
        page = min(mmap.PAGESIZE, self.size)
        self._view[0] = 1
        with contextlib.suppress(OSError):
            self._map.madvise(mmap.MADV_DONTNEED, 0, page)
        is_zero = self._view[0] == 0
        self._view[0] = 0
        return is_zero

    def read(self, offset: int, size: int) -> memoryview:
        return self._view[offset : offset + size]

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self._view[offset : offset + len(data)] = data

    def zero(self, offset: int, size: int) -> None:
        end = offset + size
        first = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        last = end // mmap.PAGESIZE * mmap.PAGESIZE
        if first >= last or not self._can_discard:
            for start in range(offset, end, len(_ZERO_CHUNK)):
                piece = min(end - start, len(_ZERO_CHUNK))
                self._view[start : start + piece] = memoryview(_ZERO_CHUNK)[:piece]
            return
        self._view[offset:first] = bytes(first - offset)
        self._view[last:end] = bytes(end - last)
        # Private anonymous pages that were given away read as zeroes (madvise(2)).
        self._map.madvise(mmap.MADV_DONTNEED, first, last - first)

    def flush(self) -> None:
        return

    def close(self) -> None:
        self._view.release()
        self._map.close()


class FileStorage(Storage):
    """A regular file, locked against a second user; made sparse when it does not exist.

    ``size`` None means the size that the file has.  Raises UriError, PermissionRefused or
    DeviceBusy, and leaves a file that is larger than ``size`` alone.
    """

    def __init__(self, path: str, size: int | None) -> None:
        self.name = path
        self._fd = self._open(path, create=size is not None)
        try:
            self.size = self._prepare(path, size)
        except BaseException:
            os.close(self._fd)
            raise

    @staticmethod
    def _open(path: str, *, create: bool) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            return os.open(path, flags, 0o644)
        except PermissionError as error:
            raise PermissionRefused(
                f"file {path!r} cannot be opened for reading and writing",
                hint="The model needs a writable file: change its mode, or copy it",
            ) from error
        except OSError as error:
            if error.errno == errno.EROFS:
                raise PermissionRefused(
                    f"file {path!r} lies on a file system that is mounted read-only",
                    hint="The model needs a writable file: copy it elsewhere",
                ) from error
            raise UriError(
                f"file {path!r} cannot be opened: {error.strerror}",
                hint="Name a regular file; with size= it is made if it does not exist",
            ) from error

    def _prepare(self, path: str, size: int | None) -> int:
        facts = os.fstat(self._fd)
        if not stat.S_ISREG(facts.st_mode):
            raise UriError(f"{path!r} is not a regular file", hint="Name a disk image file")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DeviceBusy(
                f"file {path!r} is used by another model", hint="Close it, or use a copy"
            ) from error
        if size is None:
            if not facts.st_size:
                raise UriError(f"file {path!r} is empty", hint="Give size= to make it larger")
            return facts.st_size
        if facts.st_size > size:
            raise UriError(
                f"file {path!r} has {facts.st_size} bytes, size= says {size}",
                hint="Leave size= out to use the whole file",
            )
        os.ftruncate(self._fd, size)
        return size

    def read(self, offset: int, size: int) -> bytes:
        pieces = []
        while size:
            try:
                piece = os.pread(self._fd, size, offset)
            except OSError as error:
                raise CommandError(Status.UNRECOVERED_READ_ERROR, dnr=False) from error
            if not piece:  # somebody made the file shorter
                raise CommandError(Status.UNRECOVERED_READ_ERROR, dnr=False)
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            try:
                done = os.pwrite(self._fd, view, offset)
            except OSError as error:
                raise CommandError(Status.WRITE_FAULT, dnr=False) from error
            view = view[done:]
            offset += done

    def zero(self, offset: int, size: int) -> None:
        end = offset + size
        while offset < end:
            try:  # skip holes: they are zero already
                offset = os.lseek(self._fd, offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise CommandError(Status.WRITE_FAULT, dnr=False) from error
            if offset >= end:
                return
            piece = min(end - offset, len(_ZERO_CHUNK))
            self.write(offset, memoryview(_ZERO_CHUNK)[:piece])
            offset += piece

    def flush(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise CommandError(Status.WRITE_FAULT, dnr=False) from error

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(CommandError):  # nobody is left who could be told
                self.flush()
            os.close(self._fd)
            self._fd = -1
