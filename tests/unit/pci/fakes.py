"""Configuration spaces for tests: literal bytes, write masks, a log of accesses."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.errors import AccessFault, Misaligned, OutOfBounds


@dataclass(frozen=True)
class ConfigAccess:
    kind: str  # "r" or "w"
    offset: int
    width: int
    value: int


class FakeConfig:
    """A configuration region over bytes; only bits set in the write mask can be written.

    STATUS (0x06) is W1C as on real devices.  ``fail_at`` raises AccessFault at the n-th
    access from now (0 is the next one).
    """

    def __init__(self, content: bytes | bytearray, *, size: int | None = None) -> None:
        size = size if size is not None else (256 if len(content) <= 256 else 4096)
        self.content = bytearray(content) + bytearray(size - len(content))
        self.write_mask = bytearray(size)
        self.put_mask(0x04, 2, 0x0547)
        self.log: list[ConfigAccess] = []
        self.fail_at: int | None = None

    @property
    def size(self) -> int:
        return len(self.content)

    def put(self, offset: int, width: int, value: int) -> None:
        self.content[offset : offset + width] = value.to_bytes(width, "little")

    def put_mask(self, offset: int, width: int, mask: int) -> None:
        self.write_mask[offset : offset + width] = mask.to_bytes(width, "little")

    def peek(self, offset: int, width: int) -> int:
        return int.from_bytes(self.content[offset : offset + width], "little")

    @property
    def writes(self) -> list[ConfigAccess]:
        return [access for access in self.log if access.kind == "w"]

    def _check(self, offset: int, width: int, *, is_write: bool) -> None:
        if offset < 0 or offset + width > self.size:
            raise OutOfBounds(f"{offset:#x}+{width} is outside", offset=offset, width=width)
        if offset % width:
            raise Misaligned(f"{offset:#x} is no multiple of {width}", offset=offset, width=width)
        if self.fail_at is not None:
            self.fail_at -= 1
            if self.fail_at < 0:
                self.fail_at = None
                raise AccessFault("injected", offset=offset, width=width, is_write=is_write)

    def _read(self, offset: int, width: int) -> int:
        self._check(offset, width, is_write=False)
        value = self.peek(offset, width)
        self.log.append(ConfigAccess("r", offset, width, value))
        return value

    def _write(self, offset: int, width: int, value: int) -> None:
        self._check(offset, width, is_write=True)
        self.log.append(ConfigAccess("w", offset, width, value))
        for at, byte in enumerate(value.to_bytes(width, "little"), start=offset):
            if at in (0x06, 0x07):
                self.content[at] &= ~byte & 0xFF
            else:
                mask = self.write_mask[at]
                self.content[at] = self.content[at] & ~mask & 0xFF | byte & mask

    def read8(self, offset: int, /) -> int:
        return self._read(offset, 1)

    def read16(self, offset: int, /) -> int:
        return self._read(offset, 2)

    def read32(self, offset: int, /) -> int:
        return self._read(offset, 4)

    def write8(self, offset: int, value: int, /) -> None:
        self._write(offset, 1, value)

    def write16(self, offset: int, value: int, /) -> None:
        self._write(offset, 2, value)

    def write32(self, offset: int, value: int, /) -> None:
        self._write(offset, 4, value)
