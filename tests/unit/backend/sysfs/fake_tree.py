"""A machine below a temporary directory with PCI functions as sysfs shows them.

All numbers are literals from the PCI specification and Linux's documentation.
"""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

from pymmio.backend.sysfs.machine import Machine
from pymmio.handle import Access
from pymmio.mmio import Mapping

EDU = "0000:02:00.0"
MEMORY, PREFETCHABLE, PORTS = 0x0004_0200, 0x0014_220C, 0x0004_0101


@dataclass(frozen=True)
class FakeTree(Machine):
    """``writes`` has every write to a file; ``refuse`` says what an open or write fails with."""

    writes: list[tuple[str, str]] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)
    has_pci_addresses: bool = True
    mapping_error: list[type[Exception]] = field(default_factory=list)

    @classmethod
    def below(cls, root: Path) -> FakeTree:
        return cls(root)

    def text(self, path: str, content: str) -> None:
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)

    def add(
        self,
        address: str = EDU,
        *,
        bars: dict[int, tuple[int, int, int]] | None = None,
        driver: str | None = None,
        config_size: int = 4096,
        reset: bool = True,
    ) -> str:
        """Add a function; ``bars`` are address, size and flags by number.  Returns its folder."""
        path = f"/sys/bus/pci/devices/{address}"
        lines = ["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 13
        config = bytearray(config_size)
        struct.pack_into("<HHHH", config, 0, 0x1234, 0x11E8, 0, 0x0010)
        for index, (start, size, flags) in (bars or {0: (0xFE00_0000, 0x4000, MEMORY)}).items():
            lines[index] = f"0x{start:016x} 0x{start + size - 1:016x} 0x{flags:016x}"
            struct.pack_into("<I", config, 0x10 + 4 * index, start & 0xFFFF_FFFF | flags & 1)
            names = [f"resource{index}"] + [f"resource{index}_wc"] * (flags == PREFETCHABLE)
            for name in names:
                self.text(f"{path}/{name}", "")
                os.truncate(self.place(f"{path}/{name}"), max(size, 0x10000))
        self.text(f"{path}/resource", "\n".join(lines) + "\n")
        self.place(f"{path}/config").write_bytes(config)
        self.text(f"{path}/enable", "0\n")
        if reset:
            self.text(f"{path}/reset", "")
            self.text(f"{path}/reset_method", "flr bus\n")
        if driver is not None:
            self.bind(address, driver)
        return path

    def bind(self, address: str, driver: str) -> None:
        folder = self.place(f"/sys/bus/pci/drivers/{driver}")
        folder.mkdir(parents=True, exist_ok=True)
        self.place(f"/sys/bus/pci/devices/{address}/driver").symlink_to(folder)

    # --- the kernel --------------------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        self._fail(path)
        return super().open(path, flags)

    def write_text(self, path: str, text: str) -> None:
        self.writes.append((path.rsplit("/", 1)[-1], text))
        self._fail(path)
        super().write_text(path, text)

    def map(
        self, fd: int, file_offset: int, size: int, name: str, *, writable: bool, access: Access
    ) -> Mapping:
        for error in self.mapping_error:
            raise error(f"{name}: {size:#x} bytes cannot be mapped")
        # the file is plain memory, on every machine that runs the tests
        return super().map(fd, file_offset, size, name, writable=writable, access=Access.MAPPED)

    def reaches_pci(self) -> bool:
        return self.has_pci_addresses

    def _fail(self, path: str) -> None:
        number = self.refuse.get(path.rsplit("/", 1)[-1])
        if number is not None:
            raise OSError(number, os.strerror(number), path)


DENIED = (errno.EPERM, errno.EACCES, errno.EROFS)
