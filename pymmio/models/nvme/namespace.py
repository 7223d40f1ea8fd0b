"""Namespaces: block ranges of a storage, and what is counted for the health log."""

from __future__ import annotations

import uuid

from pymmio.errors import UriError
from pymmio.models.nvme.options import NvmeOptions
from pymmio.models.nvme.storage import FileStorage, MemoryStorage, Storage

__all__ = ["LBA_SHIFTS", "Namespace", "open_namespaces"]

LBA_SHIFTS = (9, 12)
"""LBA formats 0 and 1: 512 and 4096 bytes, no metadata."""

_ID_SPACE = uuid.UUID("8c6f5d52-6c0d-5f0e-9f0b-5a6a2f6f4e31")


class Namespace:
    """A namespace: ``size`` bytes of ``storage`` from ``base`` on."""

    def __init__(
        self, nsid: int, storage: Storage, base: int, size: int, shift: int, serial: str
    ) -> None:
        self.nsid = nsid
        self.storage = storage
        self.base = base
        self.size = size
        self.uuid = uuid.uuid5(_ID_SPACE, f"{serial}/{nsid}")
        self.bad_blocks: set[int] = set()  #: written with Write Uncorrectable
        self.error_recovery = 0  #: feature 05h
        self.bytes_read = 0
        self.bytes_written = 0
        self.reads = 0
        self.writes = 0
        self.format(shift)

    def format(self, shift: int) -> None:
        """Choose the LBA format; what the blocks hold stays."""
        self.shift = shift
        self.block_count = self.size >> shift
        self.bad_blocks.clear()

    @property
    def eui64(self) -> bytes:
        """IEEE Extended Unique Identifier (OUI 52:54:00, as the controller's IEEE field)."""
        return b"\x52\x54\x00" + self.uuid.bytes[:5]

    @property
    def nguid(self) -> bytes:
        """Namespace Globally Unique Identifier, big-endian."""
        return self.uuid.bytes[:8] + self.eui64


def open_namespaces(options: NvmeOptions) -> tuple[Storage, dict[int, Namespace]]:
    """Open the storage and cut it into namespaces 1, 2, …"""
    total = None if options.size is None else options.size * options.ns
    storage: Storage
    if options.file is not None:
        storage = FileStorage(options.file, total)
    else:
        storage = MemoryStorage(total if total is not None else (64 << 20) * options.ns)
    shift = options.block_size.bit_length() - 1
    each = (storage.size // options.ns >> shift) << shift
    if not each:
        storage.close()
        raise UriError(
            f"{storage.name} has {storage.size} bytes: less than one block for each namespace",
            hint="Give a larger size=",
        )
    return storage, {
        nsid: Namespace(nsid, storage, (nsid - 1) * each, each, shift, options.serial)
        for nsid in range(1, options.ns + 1)
    }
