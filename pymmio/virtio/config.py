"""Device-specific configuration: whole fields, and values that belong together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pymmio.errors import DeviceTimeout
from pymmio.virtio.transport.base import Transport

__all__ = ["VirtioConfig"]

T = TypeVar("T")

_ATTEMPTS = 1000


class VirtioConfig:
    """Fields of the device-specific configuration, little-endian on every host.

    Each access is one of the field's width, 64 bits are two of 32 (virtio 1.2 §4.1.3.1); a read
    that takes several accesses is made again when the generation changed meanwhile (§2.5.1).
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self._transport.config_size

    def read8(self, offset: int) -> int:
        """Read a field of one byte."""
        return self._transport.read_config(offset, 1)

    def read16(self, offset: int) -> int:
        """Read a field of two bytes."""
        return self._transport.read_config(offset, 2)

    def read32(self, offset: int) -> int:
        """Read a field of four bytes."""
        return self._transport.read_config(offset, 4)

    def read64(self, offset: int) -> int:
        """Read a field of eight bytes; both halves are of one generation."""
        return self.consistent(lambda: self.read32(offset) | self.read32(offset + 4) << 32)

    def write8(self, offset: int, value: int) -> None:
        """Write a field of one byte."""
        self._transport.write_config(offset, 1, value)

    def write16(self, offset: int, value: int) -> None:
        """Write a field of two bytes."""
        self._transport.write_config(offset, 2, value)

    def write32(self, offset: int, value: int) -> None:
        """Write a field of four bytes."""
        self._transport.write_config(offset, 4, value)

    def consistent(self, read: Callable[[], T]) -> T:
        """Return what ``read`` returns, of one generation of the configuration.

        Raises DeviceTimeout where the generation never stands still.
        """
        for _ in range(_ATTEMPTS):
            before = self._transport.read_generation()
            value = read()
            if self._transport.read_generation() == before:
                return value
        raise DeviceTimeout(
            f"{self._transport.name}: the configuration changed during each of {_ATTEMPTS} reads",
            hint="Reset the device",
        )
