"""The files of sysfs, procfs and /dev that this backend uses, below a root.

A test gives another root, and lets single steps fail.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pymmio.arch import current
from pymmio.handle import Access
from pymmio.mmio import Mapping

__all__ = ["MACHINE", "Machine"]


@dataclass(frozen=True)
class Machine:
    """The running machine, or a tree that looks like one.  All methods raise OSError."""

    root: Path = Path("/")

    def place(self, path: str) -> Path:
        """Return where an absolute path of the machine is."""
        return self.root / path.lstrip("/")

    def exists(self, path: str) -> bool:
        """Tell whether a file is there."""
        return os.path.lexists(self.place(path))

    def read_text(self, path: str) -> str:
        """Return the content of a small file without the white space around it."""
        return self.place(path).read_text(encoding="utf-8", errors="replace").strip()

    def write_text(self, path: str, text: str) -> None:
        """Write to a file that is there, in one system call."""
        fd = os.open(self.place(path), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def link_name(self, path: str) -> str | None:
        """Return the last part of what a symbolic link points to; None without a link."""
        try:
            return os.path.basename(os.readlink(self.place(path)))
        except OSError:
            return None

    def open(self, path: str, flags: int) -> int:
        """Open a file; the descriptor is closed on exec."""
        return os.open(self.place(path), flags | os.O_CLOEXEC)

    def map(
        self, fd: int, file_offset: int, size: int, name: str, *, writable: bool, access: Access
    ) -> Mapping:
        """Map a part of an open file.  Raises PermissionRefused and Unsupported."""
        return Mapping.of_file(fd, file_offset, size, name, writable=writable, access=access)

    def reaches_pci(self) -> bool:
        """Tell whether PCI memory has physical addresses for loads and stores."""
        return current().mmio != "mio"

    def lockdown(self) -> str | None:
        """Return how far the kernel is locked down, None if it is not (or does not say)."""
        try:
            words = self.read_text("/sys/kernel/security/lockdown").split()
        except OSError:
            return None
        chosen = next((word.strip("[]") for word in words if word.startswith("[")), "none")
        return None if chosen == "none" else chosen


MACHINE = Machine()
"""The running machine."""
