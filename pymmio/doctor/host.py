"""The machine that is looked at: what can be read of it, and nothing that changes it."""

from __future__ import annotations

import gzip
import os
import sys
from functools import cached_property
from pathlib import Path

from pymmio.backend.vfio.kernel import LinuxKernel

__all__ = ["Host"]

_CONFIGS = (
    "/proc/config.gz",
    "/boot/config-{release}",
    "/lib/modules/{release}/config",
    "/usr/lib/modules/{release}/config",
)
_WORD = 8  # bytes of an entry's half in the auxiliary vector: all architectures are 64-bit


class Host(LinuxKernel):
    """Reads files below given roots, so that tests can have a machine of their own.

    Paths are always written as on the real machine; only this class translates them.  ``path``
    is the search path for programs, by default that of this process.  Opening by descriptor,
    ioctls and writes are refused: a probe that tried one would be a bug.
    """

    def __init__(
        self,
        *,
        root: Path | str = "/",
        sysfs: Path | str | None = None,
        proc: Path | str | None = None,
        dev: Path | str | None = None,
        path: str | None = None,
    ) -> None:
        top = Path(root)
        self._roots = {
            "/sys": Path(sysfs) if sysfs is not None else top / "sys",
            "/proc": Path(proc) if proc is not None else top / "proc",
            "/dev": Path(dev) if dev is not None else top / "dev",
            "": top,
        }
        self._path = os.environ.get("PATH", os.defpath) if path is None else path

    def place(self, path: str) -> str:
        """Return where ``path`` of the machine is to be found here."""
        for name, root in self._roots.items():
            if path == name or path.startswith(f"{name}/"):
                return str(root / path[len(name) :].lstrip("/"))
        raise ValueError(f"not an absolute path: {path!r}")

    # --- reading -----------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        return super().exists(self.place(path))

    def read_text(self, path: str) -> str:
        return super().read_text(self.place(path))

    def read_bytes(self, path: str) -> bytes:
        """Return the content of a file."""
        return Path(self.place(path)).read_bytes()

    def read_link(self, path: str) -> str:
        return super().read_link(self.place(path))

    def list_directory(self, path: str) -> list[str]:
        return super().list_directory(self.place(path))

    def owner_of(self, path: str) -> tuple[int, int, int]:
        return super().owner_of(self.place(path))

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

    def may_use(self, path: str) -> bool:
        """Ask whether this user may open ``path`` for reading and writing; it is not opened.

        Says nothing of what only an open finds out, such as the device rules of a container.
        """
        return os.access(self.place(path), os.R_OK | os.W_OK, effective_ids=True)

    def user_id(self) -> int:
        """Return the user that this process acts as."""
        return os.geteuid()

    # --- facts that several probes ask for ------------------------------------------------

    @cached_property
    def cpuinfo(self) -> dict[str, str]:
        """The fields of the first processor in /proc/cpuinfo; empty where there is none."""
        return fields(self.text_or_none("/proc/cpuinfo") or "")

    @cached_property
    def status(self) -> dict[str, str]:
        """The fields of this process's /proc/self/status."""
        return fields(self.text_or_none("/proc/self/status") or "")

    @cached_property
    def kernel_arguments(self) -> tuple[str, ...]:
        """The words that the kernel was booted with."""
        return tuple((self.text_or_none("/proc/cmdline") or "").split())

    @cached_property
    def auxiliary_vector(self) -> dict[int, int]:
        """What the kernel told this process at its start, by number (getauxval(3))."""
        try:
            data = self.read_bytes("/proc/self/auxv")
        except OSError:
            return {}
        words = [
            int.from_bytes(data[at : at + _WORD], sys.byteorder)
            for at in range(0, len(data), _WORD)
        ]
        return dict(zip(words[::2], words[1::2]))

    @cached_property
    def kernel_config(self) -> dict[str, str] | None:
        """The options that the kernel was built with, without CONFIG_; None: not readable."""
        for pattern in _CONFIGS:
            try:
                data = self.read_bytes(pattern.format(release=self.release()))
                text = gzip.decompress(data) if pattern.endswith(".gz") else data
            except (OSError, EOFError):
                continue
            lines = text.decode("utf-8", errors="replace").splitlines()
            pairs = (line.split("=", 1) for line in lines if line.startswith("CONFIG_"))
            options = {name.removeprefix("CONFIG_"): value for name, value in pairs}
            if options:
                return options
        return None

    def is_configured(self, option: str) -> bool | None:
        """Tell whether the kernel was built with an option; None where that is not known."""
        config = self.kernel_config
        return None if config is None else option in config

    @property
    def search_path(self) -> tuple[str, ...]:
        """The directories of programs; those that depend on where one stands are left out."""
        return tuple(part for part in self._path.split(os.pathsep) if os.path.isabs(part))

    # --- nothing is changed ---------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        raise _refused(f"open of {path}")

    def close(self, fd: int) -> None:
        raise _refused(f"close of {fd}")

    def ioctl(self, fd: int, request: int, argument: bytearray | int = 0) -> int:
        raise _refused(f"ioctl {request:#x}")

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        raise _refused(f"pread of {fd}")

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        raise _refused(f"pwrite to {fd}")

    def replace_by_nothing(self, fd: int) -> None:
        raise _refused(f"replacement of {fd}")


def fields(text: str) -> dict[str, str]:
    """Return the ``name: value`` lines up to the first empty line behind one."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
        elif not line.strip() and found:
            break
    return found


def _refused(what: str) -> AssertionError:
    return AssertionError(f"the doctor only looks: {what} was refused")
