"""Memory of a device that is a file of the host: in a BAR, or in the machine beside RAM."""

from __future__ import annotations

import os

from pymmio.errors import DeviceNotFound, OutOfBounds

__all__ = ["DeviceMemory"]


class DeviceMemory:
    """The file, open; ``start`` is where it lies for models that are not behind a BAR."""

    def __init__(self, path: str, size: int, start: int) -> None:
        """Raises DeviceNotFound where the file cannot be opened."""
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceNotFound(
                f"memory={path} cannot be opened: {error.strerror}", hint="Name another file"
            ) from error
        self.size = size
        self.start = start

    def find(self, start: int, size: int) -> tuple[int, int]:
        """Return descriptor and offset of guest-physical memory.  Raises OutOfBounds."""
        offset = start - self.start
        if offset < 0 or size <= 0 or offset + size > self.size:
            raise OutOfBounds(
                f"{size:#x} bytes at {start:#x} are not all of the device's memory, which has"
                f" {self.size:#x} bytes at {self.start:#x}",
                region="device memory",
                offset=max(0, offset),
                width=max(0, size),
            )
        return self.fd, offset

    def close(self) -> None:
        """Close the file; calling twice is fine."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
