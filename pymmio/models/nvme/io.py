"""I/O commands of the NVM command set (NVMe Base 1.4 §6, NVM Command Set 1.0 §3)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from pymmio.models.nvme.command import Command
from pymmio.models.nvme.identify import BROADCAST, active_namespaces
from pymmio.models.nvme.namespace import Namespace
from pymmio.models.nvme.prp import Segment, to_driver, walk
from pymmio.models.nvme.status import CommandError, Status

if TYPE_CHECKING:
    from pymmio.models.nvme.controller import NvmeModel

__all__ = ["IoCommands"]

_FLAGS_BYTE = 1
_NSID_BYTE = 4
_SLBA_BYTE = 40
_NLB_BYTE = 48
_RANGE = struct.Struct("<IIQ")  # context attributes, blocks, first block
_FUA = 1 << 30
_DEALLOCATE = 1 << 2
_BAD_BLOCK_LIMIT = 1 << 20


class IoCommands:
    """Executes what comes over I/O submission queues."""

    def __init__(self, model: NvmeModel) -> None:
        self._model = model
        self._namespaces = model.namespaces
        self._table: dict[int, Callable[[Namespace, Command], None]] = {
            0x01: self._write,
            0x02: self._read,
            0x04: self._write_uncorrectable,
            0x05: self._compare,
            0x08: self._write_zeroes,
            0x09: self._dataset_management,
        }

    def execute(self, command: Command) -> int:
        """Execute and return DW0.  Raises CommandError, and IommuFault for bad addresses."""
        if command.opcode == 0x00:
            self._flush(command)
            return 0
        namespace = self._namespaces.get(command.nsid)
        if namespace is None:
            self._model.identity.find(command.nsid)
            raise CommandError(Status.INVALID_FIELD, location=_NSID_BYTE)
        if command.flags & 0x3:  # FUSE: no fused operations (FUSES is 0)
            raise CommandError(Status.INVALID_FIELD, dnr=False, location=_FLAGS_BYTE)
        handler = self._table.get(command.opcode)
        if handler is None:
            raise CommandError(Status.INVALID_OPCODE, location=0)
        handler(namespace, command)
        return 0

    def _flush(self, command: Command) -> None:
        if command.nsid != BROADCAST and command.nsid not in self._namespaces:
            self._model.identity.find(command.nsid)
            raise CommandError(Status.INVALID_FIELD, location=_NSID_BYTE)
        for namespace in active_namespaces(self._namespaces, command.nsid):
            namespace.storage.flush()

    # --- fields that several commands share --------------------------------------------

    def _extent(self, namespace: Namespace, command: Command) -> tuple[int, int]:
        """Return (SLBA, blocks); both inside the namespace."""
        slba = command.cdw10 | command.cdw11 << 32
        blocks = (command.cdw12 & 0xFFFF) + 1
        if slba + blocks > namespace.block_count:
            raise CommandError(Status.LBA_OUT_OF_RANGE, location=_SLBA_BYTE)
        return slba, blocks

    def _check_size(self, namespace: Namespace, command: Command) -> None:
        limit = self._model.max_transfer
        if limit and ((command.cdw12 & 0xFFFF) + 1) << namespace.shift > limit:
            raise CommandError(Status.INVALID_FIELD, location=_NLB_BYTE)

    def _segments(self, command: Command, size: int) -> list[Segment]:
        if command.flags & 0xC0:  # PSDT: no SGLs (SGLS is 0)
            raise CommandError(Status.INVALID_FIELD, location=_FLAGS_BYTE)
        model = self._model
        return walk(model.host, command.prp1, command.prp2, size, model.page_size)

    def _check_readable(self, namespace: Namespace, slba: int, blocks: int) -> None:
        bad = namespace.bad_blocks
        if bad and not bad.isdisjoint(range(slba, slba + blocks)):
            raise CommandError(Status.UNRECOVERED_READ_ERROR, dnr=False, location=_SLBA_BYTE)

    def _written(self, namespace: Namespace, command: Command, slba: int, blocks: int) -> None:
        if namespace.bad_blocks:
            namespace.bad_blocks.difference_update(range(slba, slba + blocks))
        if command.cdw12 & _FUA or not self._model.features.is_write_cached:
            namespace.storage.flush()

    # --- commands ----------------------------------------------------------------------

    def _read(self, namespace: Namespace, command: Command) -> None:
        self._check_size(namespace, command)
        slba, blocks = self._extent(namespace, command)
        size = blocks << namespace.shift
        segments = self._segments(command, size)
        self._check_readable(namespace, slba, blocks)
        data = namespace.storage.read(namespace.base + (slba << namespace.shift), size)
        to_driver(self._model.host, segments, data)
        namespace.reads += 1
        namespace.bytes_read += size

    def _write(self, namespace: Namespace, command: Command) -> None:
        self._check_size(namespace, command)
        slba, blocks = self._extent(namespace, command)
        size = blocks << namespace.shift
        dma_read = self._model.host.dma_read
        # All data is fetched before any is stored: a fault leaves the blocks as they were.
        pieces = [dma_read(*segment) for segment in self._segments(command, size)]
        offset = namespace.base + (slba << namespace.shift)
        for piece in pieces:
            namespace.storage.write(offset, piece)
            offset += len(piece)
        self._written(namespace, command, slba, blocks)
        namespace.writes += 1
        namespace.bytes_written += size

    def _compare(self, namespace: Namespace, command: Command) -> None:
        self._check_size(namespace, command)
        slba, blocks = self._extent(namespace, command)
        segments = self._segments(command, blocks << namespace.shift)
        self._check_readable(namespace, slba, blocks)
        offset = namespace.base + (slba << namespace.shift)
        for iova, size in segments:
            if self._model.host.dma_read(iova, size) != namespace.storage.read(offset, size):
                raise CommandError(Status.COMPARE_FAILURE)
            offset += size
        namespace.reads += 1
        namespace.bytes_read += blocks << namespace.shift

    def _write_zeroes(self, namespace: Namespace, command: Command) -> None:
        slba, blocks = self._extent(namespace, command)
        offset = namespace.base + (slba << namespace.shift)
        namespace.storage.zero(offset, blocks << namespace.shift)
        self._written(namespace, command, slba, blocks)

    def _write_uncorrectable(self, namespace: Namespace, command: Command) -> None:
        slba, blocks = self._extent(namespace, command)
        if len(namespace.bad_blocks) > _BAD_BLOCK_LIMIT:  # they are kept one by one
            raise CommandError(Status.INTERNAL_ERROR, dnr=False)
        namespace.bad_blocks.update(range(slba, slba + blocks))

    def _dataset_management(self, namespace: Namespace, command: Command) -> None:
        """Deallocate ranges; the other attributes are hints, and need no data."""
        if not command.cdw11 & _DEALLOCATE:
            return
        count = (command.cdw10 & 0xFF) + 1
        dma_read = self._model.host.dma_read
        segments = self._segments(command, count * _RANGE.size)
        ranges = b"".join([dma_read(*segment) for segment in segments])
        chosen = []
        for _, blocks, slba in _RANGE.iter_unpack(ranges):
            if slba + blocks > namespace.block_count:
                raise CommandError(Status.LBA_OUT_OF_RANGE, location=_SLBA_BYTE)
            chosen.append((slba, blocks))
        for slba, blocks in chosen:
            offset = namespace.base + (slba << namespace.shift)
            namespace.storage.zero(offset, blocks << namespace.shift)
            if namespace.bad_blocks:
                namespace.bad_blocks.difference_update(range(slba, slba + blocks))
