"""Files behind the device: made where they are missing, and their size."""

from __future__ import annotations

import os
from collections.abc import Callable

from pymmio.backend.qtest.options import Options
from pymmio.errors import DeviceNotFound, PermissionRefused, UriError

__all__ = ["memory_size", "prepare"]


def prepare(options: Options, undo: Callable[[Callable[[], object]], object]) -> None:
    """Make the file of ``drive`` or ``memory`` with ``size`` where it is missing.

    ``undo`` is given what removes a file that was made.  Raises DeviceNotFound,
    PermissionRefused, UriError.
    """
    for name, path in (("drive", options.drive), ("memory", options.memory)):
        if path is None or os.path.exists(path):
            continue
        if options.size is None:
            raise DeviceNotFound(
                f"{name}={path}: there is no such file",
                hint="Make it, or have it made: add size=64M",
            )
        if name == "drive" and options.format != "raw":
            raise DeviceNotFound(
                f"drive={path}: there is no such file, and only raw ones are made",
                hint=f"Make it: qemu-img create -f {options.format} FILE SIZE",
            )
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise PermissionRefused(
                f"{name}={path} cannot be made: {error.strerror}", hint="Name another file"
            ) from error
        undo(lambda path=path: os.unlink(path))  # type: ignore[misc]
        try:
            os.ftruncate(fd, options.size)
        finally:
            os.close(fd)


def memory_size(options: Options) -> int | None:
    """Return the size of the file of ``memory``, in bytes; None without one.  Raises UriError."""
    if options.memory is None:
        return None
    try:
        size = os.stat(options.memory).st_size
    except OSError as error:
        raise PermissionRefused(
            f"memory={options.memory}: {error.strerror}", hint="Name another file"
        ) from error
    if options.size is not None and options.size > size:
        raise UriError(
            f"memory={options.memory} has {size} bytes, size= asks for {options.size}",
            hint="Leave size out, or make the file longer",
        )
    wanted = size if options.size is None else options.size
    if not wanted or wanted % 4096:
        raise UriError(
            f"memory={options.memory}: {wanted} bytes are not whole pages",
            hint="Use a multiple of 4096; for BARs a power of two",
        )
    return wanted
