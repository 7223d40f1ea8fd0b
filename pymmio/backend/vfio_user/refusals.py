"""What an error reply, or the system when it connects, means to the caller."""

from __future__ import annotations

import errno
import os
import stat

from pymmio.errors import (
    DeviceBusy,
    DeviceGone,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
    UriError,
)

__all__ = ["GONE", "connect_failed", "reason", "refused"]

GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN})
"""What a server answers where the device behind it is not there any more."""


def reason(number: int) -> str:
    """Return what an errno of a reply says, for messages."""
    return f"{os.strerror(number)} ({number})" if number else "it gave no reason"


def refused(name: str, what: str, number: int) -> PymmioError:
    """Return the exception for an error reply to anything but an access or a DMA mapping."""
    said = f"{name}: {what}: the server refuses: {reason(number)}"
    if number in GONE:
        return DeviceGone(said, hint="Close the device, or reconnect() when it is back")
    if number in (errno.EBUSY, errno.EAGAIN):
        return DeviceBusy(said, hint="Another client may use it: end that, or try again later")
    if number in (errno.EPERM, errno.EACCES):
        return PermissionRefused(said, hint="The server's own configuration decides")
    return Unsupported(said, hint="The server's log may say more")


def connect_failed(path: str, error: OSError) -> PymmioError:
    """Return the exception for a socket that cannot be connected to."""
    what = f"vfio-user:{path}: {error.strerror or error}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return DeviceNotFound(what, hint="Start the server first; it makes the socket")
    if error.errno == errno.ECONNREFUSED:
        if not _is_socket(path):
            return UriError(what, hint="It is no socket: name that of a vfio-user server")
        return DeviceNotFound(what, hint="The socket is there and nobody listens: start the server")
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionRefused(what, hint="Look at the permissions of the socket, and its folder")
    if error.errno in (errno.EAGAIN, errno.ETIMEDOUT):
        return DeviceBusy(what, hint="The server does not accept connections now")
    if error.errno in (errno.ENOTSOCK, errno.EPROTOTYPE):
        return UriError(what, hint="Name the stream socket of a vfio-user server")
    return Unsupported(what, hint="Is it the socket of a vfio-user server?")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True  # nobody can tell: what connect() said is all there is
