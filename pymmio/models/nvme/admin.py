"""Admin commands (NVMe Base 1.4 §5, Base 2.0 §5).

Where several fields are wrong at once the specification leaves open which one is
reported; the order of the checks here is that of QEMU's controller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pymmio.models.nvme.command import Command
from pymmio.models.nvme.identify import BROADCAST, active_namespaces, identify
from pymmio.models.nvme.namespace import LBA_SHIFTS
from pymmio.models.nvme.queues import CompletionQueue, SubmissionQueue
from pymmio.models.nvme.status import CommandError, Status

if TYPE_CHECKING:
    from pymmio.models.nvme.controller import NvmeModel
    from pymmio.models.nvme.engine import Engine

__all__ = ["AdminCommands"]

_FLAGS_BYTE = 1
_NSID_BYTE = 4
_PRP1_BYTE = 24
_CDW10_BYTE = 40
_CDW11_BYTE = 44

_SQ_ENTRY_POWER = 6  # CC.IOSQES: 2**6 bytes, the only size (Identify Controller SQES)
_CQ_ENTRY_POWER = 4


class AdminCommands:
    """Executes what comes over the admin submission queue."""

    def __init__(self, model: NvmeModel, engine: Engine) -> None:
        self._model = model
        self._engine = engine
        self._table: dict[int, Callable[[Command], int | None]] = {
            0x00: self._delete_sq,
            0x01: self._create_sq,
            0x02: self._get_log_page,
            0x04: self._delete_cq,
            0x05: self._create_cq,
            0x06: self._identify,
            0x08: self._abort,
            0x09: lambda command: model.features.set(command),
            0x0A: lambda command: model.features.get(command),
            0x0C: self._async_event_request,
            0x80: self._format,
        }

    def execute(self, command: Command) -> int | None:
        """Return DW0 of the completion, or None if the command goes on.

        Raises CommandError, and IommuFault where data cannot be moved.
        """
        handler = self._table.get(command.opcode)
        if handler is None:
            raise CommandError(Status.INVALID_OPCODE, location=0)
        if command.psdt:  # admin commands over PCIe use PRPs (Base 1.4 figure 105)
            raise CommandError(Status.INVALID_FIELD, location=_FLAGS_BYTE)
        if command.fuse:
            raise CommandError(Status.INVALID_FIELD, dnr=False, location=_FLAGS_BYTE)
        return handler(command)

    # --- queues ------------------------------------------------------------------------

    def _check_queue(self, command: Command, *, is_taken: bool) -> tuple[int, int]:
        """Check QID, QSIZE and PRP1 of a Create command; return (QID, entries)."""
        options = self._model.options
        qid, size = command.cdw10 & 0xFFFF, command.cdw10 >> 16
        if not 1 <= qid <= options.max_ioqpairs or is_taken:
            raise CommandError(Status.INVALID_QUEUE_IDENTIFIER, location=_CDW10_BYTE)
        if not 1 <= size <= options.mqes:
            raise CommandError(Status.INVALID_QUEUE_SIZE, location=_CDW10_BYTE + 2)
        if command.prp1 & (self._model.registers.page_size - 1):
            raise CommandError(Status.PRP_OFFSET_INVALID, location=_PRP1_BYTE)
        return qid, size + 1

    def _create_cq(self, command: Command) -> int:
        model = self._model
        if model.registers.cc >> 20 & 0xF != _CQ_ENTRY_POWER:
            raise CommandError(Status.INVALID_QUEUE_SIZE)
        is_taken = command.cdw10 & 0xFFFF in self._engine.completion
        qid, size = self._check_queue(command, is_taken=is_taken)
        vector = command.cdw11 >> 16
        if vector >= model.interrupts.vectors:
            raise CommandError(Status.INVALID_INTERRUPT_VECTOR, location=_CDW11_BYTE + 2)
        if not command.cdw11 & 1:  # PC; CAP.CQR says that it must be set
            raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE)
        self._engine.completion[qid] = CompletionQueue(
            qid, command.prp1, size, vector=vector, interrupts=bool(command.cdw11 & 2)
        )
        return 0

    def _create_sq(self, command: Command) -> int:
        model = self._model
        cqid = command.cdw11 >> 16
        # Outside of what is supported, or the admin queue's: Invalid Queue Identifier;
        # supported but not created: Completion Queue Invalid (Base 1.4 §5.4, CQID).
        if not 1 <= cqid <= model.options.max_ioqpairs:
            raise CommandError(Status.INVALID_QUEUE_IDENTIFIER, location=_CDW11_BYTE + 2)
        if cqid not in self._engine.completion:
            raise CommandError(Status.COMPLETION_QUEUE_INVALID, location=_CDW11_BYTE + 2)
        is_taken = command.cdw10 & 0xFFFF in self._engine.submission
        qid, size = self._check_queue(command, is_taken=is_taken)
        if model.registers.cc >> 16 & 0xF != _SQ_ENTRY_POWER:
            raise CommandError(Status.INVALID_QUEUE_SIZE)
        if not command.cdw11 & 1:
            raise CommandError(Status.INVALID_FIELD, location=_CDW11_BYTE)
        self._engine.submission[qid] = SubmissionQueue(
            qid, command.prp1, size, self._engine.completion[cqid]
        )
        return 0

    def _delete_sq(self, command: Command) -> int:
        qid = command.cdw10 & 0xFFFF
        if not qid or qid not in self._engine.submission:
            raise CommandError(Status.INVALID_QUEUE_IDENTIFIER, location=_CDW10_BYTE)
        queue = self._engine.submission.pop(qid)
        for cid in tuple(queue.in_flight):
            self._end(queue, cid, Status.ABORTED_SQ_DELETION)
        self._engine.flush(queue.cq)
        # What still finds no room is lost with the queue: nothing is posted for it once
        # this command has completed (Base 1.4 §5.6).
        queue.cq.forget(queue)
        return 0

    def _delete_cq(self, command: Command) -> int:
        model = self._model
        qid = command.cdw10 & 0xFFFF
        if not qid or qid not in self._engine.completion:
            raise CommandError(Status.INVALID_QUEUE_IDENTIFIER, location=_CDW10_BYTE)
        queue = self._engine.completion[qid]
        if any(user.cq is queue for user in self._engine.submission.values()):
            raise CommandError(Status.INVALID_QUEUE_DELETION, dnr=False, location=_CDW10_BYTE)
        del self._engine.completion[qid]
        model.interrupts.forget(model.host, queue)
        return 0

    # --- the others --------------------------------------------------------------------

    def _identify(self, command: Command) -> int:
        cns, csi = command.cdw10 & 0xFF, command.cdw11 >> 24
        self._model.send(command, identify(self._model.identity, command.nsid, cns, csi))
        return 0

    def _get_log_page(self, command: Command) -> int:
        self._model.send(command, self._model.logs.page(command))
        self._model.logs.was_read(command)
        return 0

    def _async_event_request(self, command: Command) -> None:
        model = self._model
        self._engine.submission[0].in_flight[command.cid] = command
        try:
            model.events.request(command.cid)
        except CommandError:
            del self._engine.submission[0].in_flight[command.cid]
            raise

    def _abort(self, command: Command) -> int:
        """Abort a command that waits; DW0 bit 0 tells that none was aborted."""
        qid, cid = command.cdw10 & 0xFFFF, command.cdw10 >> 16
        queue = self._engine.submission.get(qid)
        if queue is None:
            raise CommandError(Status.INVALID_FIELD, location=_CDW10_BYTE)
        if cid not in queue.in_flight:
            return 1
        self._end(queue, cid, Status.ABORT_REQUESTED)
        if queue.qid:
            self._engine.flush(queue.cq)
        return 0

    def _end(self, queue: SubmissionQueue, cid: int, status: Status) -> None:
        """Complete a waiting command without executing it."""
        if not self._model.hooks.drop(queue, cid) and queue.qid == 0:
            self._model.events.withdraw(cid)
        del queue.in_flight[cid]
        self._engine.complete(queue, cid, status)

    def _format(self, command: Command) -> int:
        """Format NVM: choose the LBA format; all blocks read as zeroes afterwards."""
        model = self._model
        nsid = command.nsid
        if nsid != BROADCAST and model.identity.find(nsid) is None:
            raise CommandError(Status.INVALID_FIELD, location=_NSID_BYTE)
        lbaf, protection = command.cdw10 & 0xF, command.cdw10 >> 5 & 0x7
        if lbaf >= len(LBA_SHIFTS) or protection:
            raise CommandError(Status.INVALID_FORMAT, location=_CDW10_BYTE)
        if command.cdw10 >> 9 & 0x7 > 1:  # SES: 0 none, 1 user data; no cryptographic erase
            raise CommandError(Status.INVALID_FIELD, location=_CDW10_BYTE + 1)
        for namespace in active_namespaces(model.namespaces, nsid):
            namespace.storage.zero(namespace.base, namespace.size)
            namespace.format(LBA_SHIFTS[lbaf])
        return 0
