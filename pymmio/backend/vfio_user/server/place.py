"""The place of a socket in the file system: taken when nobody lives there, given back."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from pathlib import Path

from pymmio.errors import BadArgument, DeviceBusy, DeviceNotFound, PermissionRefused

__all__ = ["SocketPlace"]

_LONGEST = 107  # sun_path with its NUL has 108 bytes (unix(7))
_BACKLOG = 128
_PROBE_S = 1.0


class SocketPlace:
    """A listening socket at ``path``.

    What a dead server left there is replaced.  Raises DeviceBusy where a live server listens,
    BadArgument for a path that holds something else or is too long, DeviceNotFound without
    its directory, PermissionRefused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if len(os.fsencode(path)) > _LONGEST:
            raise BadArgument(
                f"the path of a socket has at most {_LONGEST} bytes: {path}",
                hint="Choose a shorter one, such as /run/user/1000/nvme.sock",
            )
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._bind()
        except BaseException:
            self.socket.close()
            raise
        facts = path.lstat()
        self._inode = (facts.st_dev, facts.st_ino)

    def _bind(self) -> None:
        try:
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(self.path, error) from error
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)  # nobody else finds it stale at the same time
            self._clear()
            self.socket.bind(os.fspath(self.path))
            self.socket.listen(_BACKLOG)
        except OSError as error:
            raise _refused(self.path, error) from error
        finally:
            os.close(directory)

    def _clear(self) -> None:
        """Remove what a dead server left."""
        try:
            facts = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(facts.st_mode):
            raise BadArgument(
                f"{self.path} is there and is no socket", hint="Choose another path, or remove it"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_S)
            found = probe.connect_ex(os.fspath(self.path))
        if found != errno.ECONNREFUSED:
            raise DeviceBusy(
                f"{self.path} is in use by a live server", hint="End it, or choose another path"
            )
        self.path.unlink()

    def close(self) -> None:
        """Stop listening and remove the socket, if it is still ours.  Again is fine."""
        self.socket.close()
        try:
            facts = self.path.lstat()
            if (facts.st_dev, facts.st_ino) == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            return


def _refused(path: Path, error: OSError) -> Exception:
    if isinstance(error, (BadArgument, DeviceBusy)):
        return error
    if isinstance(error, PermissionError):
        return PermissionRefused(
            f"{path}: a socket cannot be made there: {error.strerror}",
            hint="Choose a directory that you may write to",
        )
    return DeviceNotFound(
        f"{path}: a socket cannot be made there: {error.strerror}",
        hint="Make the directory first",
    )
