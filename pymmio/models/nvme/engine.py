"""The queue engine: doorbells, fetching commands, executing them, posting completions.

Everything happens in the thread that writes the doorbell: when the write returns, the
commands that could be completed are completed, and their data is where it belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymmio.errors import IommuFault
from pymmio.models.nvme.admin import AdminCommands
from pymmio.models.nvme.command import SUBMISSION, SUBMISSION_SIZE, Command
from pymmio.models.nvme.events import INVALID_DOORBELL_REGISTER, INVALID_DOORBELL_VALUE, Event
from pymmio.models.nvme.io import IoCommands
from pymmio.models.nvme.queues import CompletionQueue, SubmissionQueue
from pymmio.models.nvme.registers import DOORBELLS
from pymmio.models.nvme.status import MORE, CommandError, Status

if TYPE_CHECKING:
    from pymmio.models.nvme.controller import NvmeModel

__all__ = ["Engine"]

_BATCH = 64  # submission queue entries fetched by one DMA read


class Engine:
    """All queues of a controller, by identifier; ``is_live`` says that doorbells work."""

    def __init__(self, model: NvmeModel) -> None:
        self._model = model
        self._stride = 4 << model.options.dstrd
        self._admin = AdminCommands(model, self)
        self._io = IoCommands(model)
        self.submission: dict[int, SubmissionQueue] = {}
        self.completion: dict[int, CompletionQueue] = {}
        self.is_live = False  # RDY, enabled and no fatal error

    @property
    def has_io_queues(self) -> bool:
        return any(self.completion)  # any identifier but 0

    def start(self, asq: int, acq: int, submission_size: int, completion_size: int) -> None:
        """Make the admin queues and go live."""
        queue = CompletionQueue(0, acq, completion_size, vector=0, interrupts=True)
        self.completion[0] = queue
        self.submission[0] = SubmissionQueue(0, asq, submission_size, queue)
        self.is_live = True

    def clear(self) -> None:
        """Delete all queues and what is in them."""
        self.is_live = False
        self.submission.clear()
        self.completion.clear()

    # --- doorbells (Base 1.4 §3.1.24, §3.1.25; PCIe Transport 1.0 §3.1.2) --------------

    def write_doorbell(self, position: int, width: int, value: int) -> None:
        index, odd = divmod(position, self._stride)
        if odd or width != 4:
            self._model.note(f"undefined write of {width} bytes at {DOORBELLS + position:#x}")
            return
        if not self.is_live:
            self._model.note(f"doorbell {index} written while the controller is not ready")
            return
        qid = index >> 1
        value &= 0xFFFF
        if index & 1:
            self._move_head(self.completion.get(qid), value)
        else:
            self._move_tail(self.submission.get(qid), value)

    def _move_tail(self, queue: SubmissionQueue | None, tail: int) -> None:
        if queue is None:
            self._bad_doorbell(INVALID_DOORBELL_REGISTER, "of a queue that does not exist")
        elif not queue.produce(tail):
            self._bad_doorbell(INVALID_DOORBELL_VALUE, f"tail {tail} of queue {queue.qid}")
        else:
            self._run(queue)

    def _move_head(self, queue: CompletionQueue | None, head: int) -> None:
        if queue is None:
            self._bad_doorbell(INVALID_DOORBELL_REGISTER, "of a queue that does not exist")
            return
        if not queue.consume(head):
            self._bad_doorbell(INVALID_DOORBELL_VALUE, f"head {head} of queue {queue.qid}")
            return
        self._model.interrupts.consumed(self._model.host, queue)
        if queue.waiting:
            self.flush(queue)
            self.resume()

    def _bad_doorbell(self, event: Event, what: str) -> None:
        self._model.note(f"invalid doorbell write: {what}")
        if self._model.events.outstanding:
            self._model.events.post(event)

    # --- commands ----------------------------------------------------------------------

    def resume(self) -> None:
        """Run all queues whose commands had to wait."""
        for queue in tuple(self.submission.values()):
            if queue.head != queue.tail and self.is_live:
                self._run(queue)

    def _run(self, queue: SubmissionQueue) -> None:
        """Fetch and execute commands until the queue is empty or completions find no room."""
        while queue.head != queue.tail and self.is_live and not queue.cq.waiting:
            end = queue.tail if queue.tail > queue.head else queue.size
            count = min(end - queue.head, _BATCH)
            start = queue.base + queue.head * SUBMISSION_SIZE
            try:
                entries = self._model.host.dma_read(start, count * SUBMISSION_SIZE)
            except IommuFault as fault:
                self._model.fatal(f"submission queue {queue.qid} cannot be read: {fault}")
                return
            queue.head = (queue.head + count) % queue.size
            for fields in SUBMISSION.iter_unpack(entries):
                self._accept(queue, Command._make(fields))
            self.flush(queue.cq)

    def _accept(self, queue: SubmissionQueue, command: Command) -> None:
        if command.cid in queue.in_flight:
            self._fail(queue, command, CommandError(Status.COMMAND_ID_CONFLICT, location=2))
            return
        if self._model.hooks.active:
            verdict = self._model.hooks.intercept(queue, command)
            if verdict is not None:
                if verdict < 0:
                    queue.in_flight[command.cid] = command
                else:
                    self.complete(queue, command.cid, verdict)
                return
        self._execute(queue, command)

    def _execute(self, queue: SubmissionQueue, command: Command) -> None:
        try:
            if queue.qid:
                dw0: int | None = self._io.execute(command)
            else:
                dw0 = self._admin.execute(command)
        except CommandError as error:
            self._fail(queue, command, error)
        except IommuFault:
            self._fail(queue, command, CommandError(Status.DATA_TRANSFER_ERROR, location=24))
        else:
            if dw0 is not None:
                self.complete(queue, command.cid, Status.SUCCESS, dw0)

    def _fail(self, queue: SubmissionQueue, command: Command, error: CommandError) -> None:
        status = error.status | MORE
        self._model.logs.note_error(queue.qid, command, status, error.location)
        self.complete(queue, command.cid, status)

    def complete(self, queue: SubmissionQueue, cid: int, status: int, dw0: int = 0) -> None:
        """Put a completion in line; flush() posts it."""
        queue.cq.waiting.append((queue, cid, status, dw0))

    def flush(self, queue: CompletionQueue) -> None:
        """Post what is in line as far as there is room, and signal it."""
        try:
            posted = queue.post(self._model.host)
        except IommuFault as fault:
            queue.waiting.clear()
            self._model.fatal(f"completion queue {queue.qid} cannot be written: {fault}")
            return
        if posted:
            self._model.interrupts.posted(self._model.host, queue)

    def finish_held(self, queue: SubmissionQueue, command: Command) -> None:
        """Execute a command that a hook held back."""
        del queue.in_flight[command.cid]
        self._execute(queue, command)
        self.flush(queue.cq)

    def complete_event(self, cid: int, dw0: int) -> None:
        queue = self.submission[0]
        queue.in_flight.pop(cid, None)
        self.complete(queue, cid, Status.SUCCESS, dw0)
        self.flush(queue.cq)
