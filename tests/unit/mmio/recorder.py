"""A RegionHandle over bytes that notes each access."""

from __future__ import annotations

from pymmio.handle import RegionInfo


class Recorder:
    """``accesses`` are (kind, offset, width) in their order."""

    def __init__(self, size: int = 64, *, writable: bool = True, readable: bool = True) -> None:
        self.info = RegionInfo(0, "BAR0", size, writable=writable, readable=readable)
        self.memory = bytearray(range(size))
        self.accesses: list[tuple[str, int, int]] = []

    def read(self, offset: int, width: int) -> int:
        self.accesses.append(("read", offset, width))
        return int.from_bytes(self.memory[offset : offset + width], "little")

    def write(self, offset: int, width: int, value: int) -> None:
        self.accesses.append(("write", offset, width))
        self.memory[offset : offset + width] = value.to_bytes(width, "little")

    def mmap_source(self) -> tuple[int, int] | None:
        return None

    def pread_source(self) -> tuple[int, int] | None:
        return None
