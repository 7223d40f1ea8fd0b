"""The machine whose drivers are changed: sysfs, procfs, /dev and where records are kept.

The roots can be others, so that tests have a machine of their own.  Paths in this package are
always written as on the real machine (``/sys/...``); only this file translates them.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pymmio.backend.vfio.kernel import LinuxKernel

__all__ = ["Machine"]

_MODPROBE_TIMEOUT_S = 60.0
_MODPROBES = ("/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe", "/usr/bin/modprobe")


class Machine(LinuxKernel):
    """Reads what the kernel shows, and makes the writes that bind and unbind.

    ``state`` is the directory of the records; by default that of the user, see
    :meth:`state_directories`.
    """

    def __init__(
        self,
        *,
        sysfs: Path | str = "/sys",
        proc: Path | str = "/proc",
        dev: Path | str = "/dev",
        state: Path | str | None = None,
    ) -> None:
        self._roots = {
            "/sys": os.path.realpath(sysfs),
            "/proc": str(proc),
            "/dev": os.path.realpath(dev),
        }
        self._state = None if state is None else Path(state)

    # --- reading -----------------------------------------------------------------------

    def place(self, path: str) -> str:
        """Return where ``path`` of the machine is to be found here."""
        for name, root in self._roots.items():
            if path == name or path.startswith(f"{name}/"):
                return root + path[len(name) :]
        return path

    def exists(self, path: str) -> bool:
        return super().exists(self.place(path))

    def read_text(self, path: str) -> str:
        return super().read_text(self.place(path))

    def read_link(self, path: str) -> str:
        return super().read_link(self.place(path))

    def list_directory(self, path: str) -> list[str]:
        return super().list_directory(self.place(path))

    def owner_of(self, path: str) -> tuple[int, int, int]:
        return super().owner_of(self.place(path))

    def open(self, path: str, flags: int) -> int:
        return super().open(self.place(path), flags)

    def text_or_none(self, path: str) -> str | None:
        """Return the content of a small file, None where it cannot be read."""
        try:
            return self.read_text(path)
        except OSError:
            return None

    def listed(self, path: str) -> list[str]:
        """Return the names in a directory, none where it cannot be read."""
        try:
            return self.list_directory(path)
        except OSError:
            return []

    def link_name(self, path: str) -> str | None:
        """Return the last part of what a symbolic link points to, None without a link."""
        try:
            return self.read_link(path).rsplit("/", 1)[-1]
        except OSError:
            return None

    def real_path(self, path: str) -> str:
        """Return ``path`` without symbolic links, as the machine names it."""
        real = os.path.realpath(self.place(path))
        for name, root in self._roots.items():
            if real == root or real.startswith(f"{root}/"):
                return name + real[len(root) :]
        return real

    def walk(self, path: str) -> Iterator[tuple[str, list[str]]]:
        """Yield each directory at and below ``path`` with its files; no link is followed."""
        top = self.place(path)
        for directory, _, files in os.walk(top):
            yield path + directory[len(top) :], files

    def node_number(self, path: str) -> str | None:
        """Return ``major:minor`` of a device node, links followed; None for all else."""
        try:
            status = os.stat(self.place(path))
        except (OSError, ValueError):
            return None
        if not (stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode)):
            return None
        kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
        return f"{kind}{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"

    def boot_id(self) -> str:
        """Return what is different after each boot of the machine."""
        return self.read_text("/proc/sys/kernel/random/boot_id")

    def may_write(self, path: str) -> bool:
        """Whether this process has the permission to write a file."""
        return os.access(self.place(path), os.W_OK, effective_ids=True)

    def is_read_only(self, path: str) -> bool:
        """Whether the file system of ``path`` is mounted read-only, as sysfs in containers."""
        try:
            return bool(os.statvfs(self.place(path)).f_flag & os.ST_RDONLY)
        except OSError:
            return False

    def state_directories(self) -> tuple[Path, ...]:
        """Return where records may be, the best place first.

        ``/run/pymmio`` is root's: it goes away with the boot, as bindings do.  Then
        ``$XDG_STATE_HOME/pymmio`` (``~/.local/state/pymmio``).
        """
        if self._state is not None:
            return (self._state,)
        home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        return (Path("/run/pymmio"), Path(home) / "pymmio")

    # --- changing ----------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        """Write ``text`` to a file of sysfs in one system call.  Raises OSError."""
        fd = os.open(self.place(path), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def load_module(self, name: str) -> None:
        """Load a module of the kernel with modprobe.  Raises OSError with what it said."""
        modprobe = next((path for path in _MODPROBES if os.path.exists(path)), None)
        if modprobe is None:
            raise FileNotFoundError("modprobe is not installed here (package kmod)")
        try:
            done = subprocess.run(
                [modprobe, "--", name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_MODPROBE_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"modprobe {name} took over {_MODPROBE_TIMEOUT_S:g} s") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split()) or f"status {done.returncode}"
            raise OSError(f"modprobe {name}: {said}")
