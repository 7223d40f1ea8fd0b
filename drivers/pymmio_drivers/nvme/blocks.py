"""The blocks of a namespace: how large, how many, and what may be asked of them."""

from __future__ import annotations

from pymmio.errors import BadArgument, Unsupported
from pymmio_drivers.nvme.errors import BufferSizeMismatch, LbaOutOfRange
from pymmio_drivers.nvme.structures import IdentifyNamespace, LbaFormat

__all__ = ["Blocks"]

_SMALLEST, _LARGEST = 9, 24  # LBADS: 512 bytes (the specification's), 16 MiB (ours)


class Blocks:
    """Blocks in the current LBA format of a namespace; ``name`` is for messages.

    ``max_transfer`` is in bytes.  Raises Unsupported for a format without use for data, or
    whose blocks are longer than a transfer.
    """

    def __init__(self, name: str, identity: IdentifyNamespace, max_transfer: int) -> None:
        self._name = name
        self.identity = identity
        self.format = self._format(max_transfer)
        self.has_metadata = self.format.ms != 0
        self.block_size = 1 << self.format.lbads  #: bytes of data in a block
        self.block_count = int(identity.nsze)
        self.size = self.block_size * self.block_count  #: bytes

    def _format(self, max_transfer: int) -> LbaFormat:
        """Return the LBA format in use; what the device says is checked."""
        index = self.identity.format_index
        if index <= self.identity.nlbaf and index < len(self.identity.lbaf):
            found = self.identity.lbaf[index]
            if _SMALLEST <= found.lbads <= _LARGEST and 1 << found.lbads <= max_transfer:
                return found
        raise Unsupported(
            f"{self}: LBA format {index} of {self.identity.nlbaf + 1} is no format for data, or"
            f" its blocks are longer than a transfer ({max_transfer} bytes)",
            hint="Format the namespace with another LBA format, or raise max_transfer_bytes",
        )

    def whole_blocks(self, verb: str, size: int) -> int:
        """Return how many blocks ``size`` bytes are; raises BufferSizeMismatch."""
        if size == 0 or size % self.block_size:
            raise BufferSizeMismatch(
                f"{verb} of {self}: {size} bytes are no whole number of blocks of"
                f" {self.block_size} bytes",
                hint="Give whole blocks, or blocks=",
            )
        return size // self.block_size

    def check_range(self, verb: str, lba: int, blocks: int) -> None:
        """Raise BadArgument or LbaOutOfRange unless the blocks exist."""
        if blocks < 1 or lba < 0:
            raise BadArgument(
                f"{verb} of {self}: {blocks} blocks from lba {lba}",
                hint="Give at least one block, from lba 0 on",
            )
        if lba + blocks > self.block_count:
            raise LbaOutOfRange(
                f"{verb} of {self}: lba {lba} + {blocks} blocks go beyond the end, which is"
                f" {self.block_count}",
                status=0x80,
                name="LBA Out of Range",
                hint="Nothing was sent",
            )

    def require_plain(self, verb: str) -> None:
        """Raise Unsupported for formats with metadata: this driver has no way to carry it."""
        if self.has_metadata:
            kind = self.identity.pi_type
            protection = f", protection information type {kind}" if kind else ""
            raise Unsupported(
                f"{verb} of {self}: its format has {self.format.ms} bytes of metadata a block"
                f"{protection}",
                hint="Format it with an LBA format without metadata",
            )

    def __str__(self) -> str:
        return self._name
