"""A DAX device as a file: ``io.RawIOBase``, and the same for asyncio."""

from __future__ import annotations

import asyncio
import io
import os
from typing import TYPE_CHECKING

from pymmio.dax.bounds import PAGE_SIZE, check_range
from pymmio.dax.targets import DaxTarget
from pymmio.errors import MediaError, Misaligned

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["LOGICAL_BLOCK", "PHYSICAL_BLOCK", "AsyncDaxFile", "DaxBlocks", "DaxFile"]

LOGICAL_BLOCK = 512
"""What block users may address, in bytes."""

PHYSICAL_BLOCK = PAGE_SIZE
"""What is written as a whole without reading before, in bytes."""


class DaxFile(io.RawIOBase):
    """A seekable file over a device or target, which stays open when this is closed.

    ``flush`` makes what was written through this file durable.
    """

    def __init__(self, device: DaxTarget) -> None:
        super().__init__()
        self._device = device
        self._at = 0
        self._dirty: tuple[int, int] | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place; behind the end nothing is read and nothing can be written."""
        self._require_open()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._device.size}
        if whence not in base or base[whence] + offset < 0:
            raise ValueError(f"seek({offset}, {whence}) from {self._at}")
        self._at = base[whence] + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        self._require_open()
        return self._at

    def readinto(self, target: Buffer, /) -> int:
        """Fill as much of ``target`` as there is; 0 at the end."""
        self._require_open()
        with memoryview(target).cast("B") as to:
            size = max(0, min(len(to), self._device.size - self._at))
            if size:
                self._device.read_into(self._at, to[:size])
        self._at += size
        return size

    def write(self, data: Buffer, /) -> int:
        """Write as much as fits.  Raises OSError (ENOSPC) where nothing does."""
        self._require_open()
        with memoryview(data).cast("B") as source:
            size = max(0, min(len(source), self._device.size - self._at))
            if len(source) and not size:
                raise OSError(28, f"{self._device.name}: no space behind its end")
            if size:
                try:
                    self._device.write_from(self._at, source[:size])
                except MediaError as error:
                    self._note(error.moved)
                    raise
                self._note(size)
        self._at += size
        return size

    def _note(self, size: int) -> None:
        """Remember that so many bytes at the place are not durable."""
        if size:
            start, end = self._dirty or (self._at, self._at)
            self._dirty = min(start, self._at), max(end, self._at + size)

    def flush(self) -> None:
        """Make what was written durable."""
        if not self.closed and self._dirty is not None:
            start, end = self._dirty
            self._device.persist(start, end - start)
            self._dirty = None

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


class DaxBlocks:
    """Blocks of ``LOGICAL_BLOCK`` bytes, with the order that file systems ask for."""

    def __init__(self, device: DaxTarget) -> None:
        self._device = device
        self.block_size = LOGICAL_BLOCK
        self.physical_block_size = PHYSICAL_BLOCK
        self.block_count = device.size // LOGICAL_BLOCK

    def read(self, block: int, count: int) -> bytes:
        """Return ``count`` blocks."""
        self._check(block, count)
        data = bytearray(count * LOGICAL_BLOCK)
        self._device.read_into(block * LOGICAL_BLOCK, data)
        return bytes(data)

    def write(self, block: int, data: Buffer, *, preflush: bool = False, fua: bool = False) -> None:
        """Write whole blocks.

        ``preflush``: all that was written before is durable before these are.  ``fua``: these
        are durable when this returns.
        """
        with memoryview(data).cast("B") as source:
            if len(source) % LOGICAL_BLOCK:
                raise Misaligned(
                    f"{self._device.name}: {len(source)} bytes are no whole blocks",
                    hint=f"Write multiples of {LOGICAL_BLOCK} bytes",
                )
            self._check(block, len(source) // LOGICAL_BLOCK)
            if preflush:
                self._device.persist()
            if len(source):
                self._device.write_from(block * LOGICAL_BLOCK, source)
            if fua:
                self._device.persist(block * LOGICAL_BLOCK, len(source))

    def flush(self) -> None:
        """Make all that was written durable."""
        self._device.persist()

    def _check(self, block: int, count: int) -> None:
        offset, size = block * LOGICAL_BLOCK, count * LOGICAL_BLOCK
        check_range(self._device.name, self._device.size, offset, size)


class AsyncDaxFile:
    """Copies and flushes of a device in threads, awaitable: copies leave the lock alone."""

    def __init__(self, device: DaxTarget) -> None:
        self._device = device

    async def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes at ``offset``."""
        check_range(self._device.name, self._device.size, offset, size)
        data = bytearray(size)
        await asyncio.to_thread(self._device.read_into, offset, data)
        return bytes(data)

    async def write(self, offset: int, data: Buffer, *, nocache: bool = False) -> int:
        """Write ``data`` at ``offset``."""
        return await asyncio.to_thread(self._device.write_from, offset, data, nocache=nocache)

    async def persist(self, offset: int = 0, size: int | None = None) -> None:
        """Make a range durable."""
        await asyncio.to_thread(self._device.persist, offset, size)
