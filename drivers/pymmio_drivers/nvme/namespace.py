"""Namespaces: blocks to read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pymmio.dma import DmaBuffer
from pymmio.errors import BadArgument, Closed, Unsupported
from pymmio_drivers.nvme import command
from pymmio_drivers.nvme.bench import Measurement, Mode, measure
from pymmio_drivers.nvme.blocks import Blocks
from pymmio_drivers.nvme.buffers import check_buffer, look_at
from pymmio_drivers.nvme.command import IoOpcode, Range
from pymmio_drivers.nvme.errors import BufferReadOnly, InvalidNamespace, NvmeError
from pymmio_drivers.nvme.request import AnyOperation, Call, Command, Request
from pymmio_drivers.nvme.structures import IdentifyNamespace, NamespaceId

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pymmio_drivers.nvme.controller import Controller

__all__ = ["Namespace"]

_FUA = 1 << 30
_MAX_BLOCKS = 1 << 16  # NLB has 16 bits and counts from 0
_MAX_RANGES = 256
_BOUNCE_SIZE = 1 << 20
_VERBS = {IoOpcode.READ: "read", IoOpcode.WRITE: "write", IoOpcode.COMPARE: "compare"}


class Namespace(Blocks):
    """A namespace of a controller: ``ctrl.namespaces[nsid]``.

    Blocks are counted in the current LBA format.  Each operation has a blocking form and one
    with ``_async`` that returns a :class:`Request` at once; both check everything that can be
    checked before anything is sent, and split what is longer than one command may be.  The
    order of commands is not kept: wait for a write before reading the same blocks.
    Safe for threads.
    """

    def __init__(self, controller: Controller, nsid: int, identity: IdentifyNamespace) -> None:
        """Not for callers: use ``Controller.namespaces``."""
        if not identity.nsze:
            raise InvalidNamespace(
                f"{controller.name}: namespace {nsid} has no blocks (NSZE is 0)",
                hint="Its disk is empty, or it is not active any more: Controller.refresh() reads"
                " the list again",
            )
        super().__init__(f"nsid {nsid}", identity, controller.max_transfer)
        self.controller = controller
        self.nsid = nsid

    @property
    def ids(self) -> tuple[NamespaceId, ...]:
        """The identification descriptors; asks the controller."""
        return self.controller.admin.namespace_ids(self.nsid)

    # --- read and write -----------------------------------------------------------------

    def read(
        self, buffer: DmaBuffer, *, lba: int, blocks: int | None = None, fua: bool = False
    ) -> None:
        """Read blocks from ``lba`` into ``buffer``: as many as it holds, or ``blocks``.

        ``fua`` reads from the media itself.  Raises NotDmaMemory, BufferSizeMismatch,
        BufferMisaligned, LbaOutOfRange before anything is sent, and StatusError and its
        subclasses, CommandTimeout, CommandAborted, ControllerFailed, DeviceGone after.
        """
        self._transfer(Call, IoOpcode.READ, buffer, lba, blocks, fua).wait()

    def write(
        self, buffer: DmaBuffer, *, lba: int, blocks: int | None = None, fua: bool = False
    ) -> None:
        """Write ``buffer`` to the blocks from ``lba``; the same arguments and errors as read.

        ``fua`` waits until the data is on the media itself; else ``flush`` does.
        """
        self._transfer(Call, IoOpcode.WRITE, buffer, lba, blocks, fua).wait()

    def compare(self, buffer: DmaBuffer, *, lba: int, blocks: int | None = None) -> None:
        """Compare ``buffer`` with the blocks from ``lba``; raises CompareFailure."""
        self._require(int(self.controller.identity.oncs_compare), "Compare")
        self._transfer(Call, IoOpcode.COMPARE, buffer, lba, blocks).wait()

    def read_async(
        self, buffer: DmaBuffer, *, lba: int, blocks: int | None = None, fua: bool = False
    ) -> Request:
        """Start a read; the buffer belongs to the device until the request is done."""
        return self._transfer(Request, IoOpcode.READ, buffer, lba, blocks, fua)

    def write_async(
        self, buffer: DmaBuffer, *, lba: int, blocks: int | None = None, fua: bool = False
    ) -> Request:
        """Start a write; do not change the buffer until the request is done."""
        return self._transfer(Request, IoOpcode.WRITE, buffer, lba, blocks, fua)

    def compare_async(self, buffer: DmaBuffer, *, lba: int, blocks: int | None = None) -> Request:
        """Start a comparison; the request raises CompareFailure."""
        self._require(int(self.controller.identity.oncs_compare), "Compare")
        return self._transfer(Request, IoOpcode.COMPARE, buffer, lba, blocks)

    def read_bytes(self, *, lba: int, blocks: int) -> bytes:
        """Read blocks into ordinary memory, through a buffer of its own."""
        self.check_range("read", lba, blocks)
        data = bytearray(blocks * self.block_size)
        self.read_into(data, lba=lba)
        return bytes(data)

    def read_into(self, target: Buffer, *, lba: int) -> None:
        """Fill ordinary writable memory, a whole number of blocks, through a buffer of its own.

        Raises BufferReadOnly for bytes and the like.
        """
        with memoryview(target) as whole:
            if whole.readonly:
                raise BufferReadOnly(
                    f"read of {self}: {type(target).__name__} is read-only",
                    hint="Give a bytearray, or use read_bytes()",
                )
            with whole.cast("B") as view:
                blocks = self.whole_blocks("read", len(view))
                self.check_range("read", lba, blocks)
                step = max(1, _BOUNCE_SIZE // self.block_size)
                with self.controller.scratch.take(min(step, blocks) * self.block_size) as bounce:
                    for at in range(0, blocks, step):
                        count = min(step, blocks - at)
                        size, start = count * self.block_size, at * self.block_size
                        self.read(bounce, lba=lba + at, blocks=count)
                        with look_at(bounce) as source:
                            view[start : start + size] = source[:size]

    def write_bytes(self, data: Buffer, *, lba: int, fua: bool = False) -> None:
        """Write ordinary memory, a whole number of blocks, through a buffer of its own."""
        with memoryview(data) as whole, whole.cast("B") as source:
            blocks = self.whole_blocks("write", len(source))
            self.check_range("write", lba, blocks)
            step = max(1, _BOUNCE_SIZE // self.block_size)
            with self.controller.scratch.take(min(step, blocks) * self.block_size) as bounce:
                for at in range(0, blocks, step):
                    count = min(step, blocks - at)
                    size, start = count * self.block_size, at * self.block_size
                    with look_at(bounce) as view:
                        view[:size] = source[start : start + size]
                    self.write(bounce, lba=lba + at, blocks=count, fua=fua)

    # --- without data -------------------------------------------------------------------

    def flush(self) -> None:
        """Wait until everything that was written before is on the media."""
        self.flush_async().result()

    def flush_async(self) -> Request:
        """Start a flush; it covers writes that were done before it was started."""
        return self._simple(f"flush of {self}", [command.flush(self.nsid)])

    def write_zeroes(self, *, lba: int, blocks: int) -> None:
        """Make blocks read as zero, without sending data."""
        self.write_zeroes_async(lba=lba, blocks=blocks).result()

    def write_zeroes_async(self, *, lba: int, blocks: int) -> Request:
        """Start to zero blocks."""
        self._require(int(self.controller.identity.oncs_write_zeroes), "Write Zeroes")
        self.require_plain("write zeroes")
        self.check_range("write zeroes", lba, blocks)
        entries = [
            command.io(
                IoOpcode.WRITE_ZEROES,
                nsid=self.nsid,
                slba=lba + at,
                cdw12=min(_MAX_BLOCKS, blocks - at) - 1,
            )
            for at in range(0, blocks, _MAX_BLOCKS)
        ]
        return self._simple(f"write zeroes of {self}, lba {lba}", entries)

    def deallocate(self, ranges: Sequence[Range | tuple[int, int]]) -> None:
        """Tell the controller that blocks are not needed; ``ranges`` of (lba, blocks).

        What they read as afterwards is the controller's choice (DLFEAT).
        """
        self.deallocate_async(ranges).result()

    def deallocate_async(self, ranges: Sequence[Range | tuple[int, int]]) -> Request:
        """Start to deallocate blocks."""
        self._require(int(self.controller.identity.oncs_dataset_management), "Dataset Management")
        asked = [r if isinstance(r, Range) else Range(*r) for r in ranges]
        if not 1 <= len(asked) <= _MAX_RANGES:
            raise BadArgument(
                f"deallocate: {len(asked)} ranges", hint=f"Give 1 to {_MAX_RANGES} in one call"
            )
        for one in asked:
            self.check_range("deallocate", one.lba, one.blocks)
            if one.blocks >= 1 << 32:
                raise BadArgument(f"deallocate: {one.blocks} blocks", hint="Give less than 2**32")
        data = command.deallocate_ranges(asked)
        buffer = self.controller.alloc(len(data))
        request = self._request(f"deallocate of {self}", buffer)
        request.add_done_callback(lambda _: self.controller.scratch.give_back(buffer))
        with look_at(buffer) as view:
            view[:] = data
        entry = command.deallocate(self.nsid, len(asked))
        return self._send(request, [Command(request, entry, buffer.iova, len(data))])

    def measure(
        self,
        *,
        rw: Mode = "randread",
        block_size: int = 4096,
        queue_depth: int = 32,
        seconds: float = 3.0,
        count: int = 0,
        first_lba: int = 0,
        blocks: int | None = None,
        seed: int = 1,
        progress: Callable[[float], None] | None = None,
    ) -> Measurement:
        """Measure reads or writes; see :func:`pymmio_drivers.nvme.bench.measure`."""
        return measure(
            self,
            rw=rw,
            block_size=block_size,
            queue_depth=queue_depth,
            seconds=seconds,
            count=count,
            first_lba=first_lba,
            blocks=blocks,
            seed=seed,
            progress=progress,
        )

    # --- how ----------------------------------------------------------------------------

    def _transfer(
        self,
        kind: type[AnyOperation],
        opcode: IoOpcode,
        buffer: DmaBuffer,
        lba: int,
        blocks: int | None,
        fua: bool = False,
    ) -> AnyOperation:
        """Start a command with data, or several; ``kind`` is how the caller waits."""
        try:
            return self._start(kind, opcode, buffer, lba, blocks, _FUA if fua else 0)
        except NvmeError:
            raise
        except Closed as error:  # the buffer; perhaps with its device
            raise self.controller.explained(error)  # noqa: B904 - it has its cause

    def _start(
        self,
        kind: type[AnyOperation],
        opcode: IoOpcode,
        buffer: DmaBuffer,
        lba: int,
        blocks: int | None,
        flags: int,
    ) -> AnyOperation:
        verb, controller, size = _VERBS[opcode], self.controller, self.block_size
        if self.has_metadata:
            self.require_plain(verb)
        if blocks is None:
            blocks = self.whole_blocks(verb, buffer.size) if isinstance(buffer, DmaBuffer) else 0
        iova = check_buffer(controller.device.dma, verb, self, buffer, blocks * size)
        self.check_range(verb, lba, blocks)
        operation = controller.io_operation(
            kind, lambda: f"{verb} of {self}, lba {lba}, {blocks} blocks", (buffer,)
        )
        step = min(_MAX_BLOCKS, controller.max_transfer // size)
        commands = []
        for at in range(0, blocks, step):
            count = min(step, blocks - at)
            entry = command.io(opcode, nsid=self.nsid, slba=lba + at, cdw12=flags | (count - 1))
            commands.append(Command(operation, entry, iova + at * size, count * size))
        controller.send(operation, commands)
        return operation

    def _simple(self, what: str, entries: list[bytes]) -> Request:
        request = self._request(what)
        return self._send(request, [Command(request, entry) for entry in entries])

    def _request(self, what: str, *held: DmaBuffer) -> Request:
        return self.controller.io_request(what, held)

    def _send(self, request: Request, commands: list[Command]) -> Request:
        self.controller.send(request, commands)
        return request

    def _require(self, supported: int, what: str) -> None:
        if not supported:
            raise Unsupported(
                f"{self.controller.name} does not support {what} (Identify Controller, ONCS)",
                hint="Use read and write instead",
            )

    def __repr__(self) -> str:
        return (
            f"<Namespace {self.nsid} of {self.controller.name}: {self.block_count} blocks of"
            f" {self.block_size} bytes>"
        )
