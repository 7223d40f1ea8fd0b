"""Queue pairs: which requests are under way, and who takes their completions."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pymmio.errors import Closed, DeviceTimeout, ForkedObject, PymmioError
from pymmio_drivers.nvme.command import with_data_pointer
from pymmio_drivers.nvme.engine import BATCH, Done, Engine, ffi
from pymmio_drivers.nvme.memory import QueueMemory
from pymmio_drivers.nvme.prp import build_prps, prp2_without_list
from pymmio_drivers.nvme.request import Command, Operation

if TYPE_CHECKING:
    from pymmio.mmio.doorbell import Doorbell

__all__ = ["QueueOwner", "QueuePair"]

_SLICE_S = 0.02
_BRIEF_S = 50e-6  #: about what waking the interrupt thread, and the caller after it, costs
_LEAVE_S = 5.0

_callbacks = threading.local()
"""How deep this thread is in callbacks of requests: there it must not wait for others."""


class QueueOwner(Protocol):
    """Whom a queue pair tells what it cannot mend itself.  Called without the queue's lock."""

    def command_timed_out(self, queue: QueuePair, request: Operation) -> None:
        """End the request one way or another, or raise CommandTimeout."""
        ...

    def queue_broken(self, queue: QueuePair, error: PymmioError) -> None:
        """Make the queue usable again or fail its requests."""
        ...

    def check_device(self) -> None:
        """Fail the requests if the device is no longer there."""
        ...


class QueuePair:
    """A submission queue, its completion queue, and who waits for what.

    Owns ``memory``.  With ``is_polled`` whoever waits for a request takes completions; else
    something else calls ``reap`` (an interrupt thread).  Safe for threads: the lock is held
    while entries are moved, never while waiting.
    """

    def __init__(
        self,
        owner: QueueOwner,
        *,
        qid: int,
        depth: int,
        memory: QueueMemory,
        doorbells: tuple[Doorbell, Doorbell],
        page_size: int,
    ) -> None:
        self.qid = qid
        self.depth = depth
        self.memory = memory
        self.is_polled = True
        self.engine = Engine(
            qid, depth, sq=memory.sq.address, cq=memory.cq.address, doorbells=doorbells
        )
        self.lock = threading.Lock()  #: for whoever uses the engine directly
        self._owner = owner
        self._page_size = page_size
        self._free_lists = list(range(depth - 1)) if memory.prp_lists is not None else []
        self._backlog: deque[Command] = deque()
        self._outstanding: dict[int, Command] = {}
        self.broken: PymmioError | None = None  #: why it takes nothing until it starts anew
        self._exclusive: Operation | None = None
        self._accepting = False
        self._check_at = 0.0
        self._state = "open"

    # --- sending --------------------------------------------------------------------

    def submit(self, request: Operation, commands: Sequence[Command]) -> bool:
        """Send the commands of a request, later ones as soon as there is room.

        Returns False, with nothing done, while the queue does not exist on the controller
        (before it was created, and during a reset).  Raises Closed and ForkedObject.
        """
        finished: list[Operation] = []
        with self.lock:
            self._require_open()
            if not self._accepting or self._exclusive or self.broken is not None:
                return False
            request.expect(len(commands))
            has_room = not self._backlog and len(self._outstanding) < self.depth - 1
            if has_room and len(commands) == 1:
                error = self._send(commands[0])
            else:
                self._backlog.extend(commands)
                error = self._pump(finished)
            if error is None and not request.has_callbacks and self._may_take():
                _, error = self._take(finished)  # simulated devices have done by now
            self.broken = error
        if finished or error is not None:
            self._settle(finished, error)
        return True

    def _send(self, command: Command) -> PymmioError | None:
        """Send one command, later if there is no room now; return what went wrong."""
        cid, error = self.engine.submit_one(self._entry(command))
        if cid is None:
            self._free_list(command)
            self._backlog.appendleft(command)
        else:
            self._outstanding[cid] = command
        return error

    def _pump(self, finished: list[Operation]) -> PymmioError | None:
        """Send what waits, as far as there is room; return what went wrong."""
        while self._backlog and self._accepting:
            room = min(self.engine.space(), BATCH)
            batch: list[Command] = []
            while self._backlog and len(batch) < room:
                command = self._backlog.popleft()
                if not command.request.has_failed:
                    batch.append(command)
                elif command.request.part_failed(None):  # the rest of it is pointless
                    finished.append(command.request)
            if not batch:
                return None
            cids, error = self.engine.submit([self._entry(command) for command in batch])
            for cid, command in reversed(list(zip(cids, batch, strict=True))):
                if cid is None:
                    self._free_list(command)
                    self._backlog.appendleft(command)
                else:
                    self._outstanding[cid] = command
            if error is not None:
                return error
        return None

    def _entry(self, command: Command) -> bytes:
        if not command.size:
            return command.entry
        prp2 = prp2_without_list(command.iova, command.size, self._page_size)
        if prp2 is not None:
            return with_data_pointer(command.entry, command.iova, prp2)
        lists = self.memory.prp_lists
        assert lists is not None
        command.prp_list = self._free_lists.pop()
        where = self.memory.list_size * command.prp_list
        prps = build_prps(command.iova, command.size, self._page_size, lists.iova + where)
        assert len(prps.entries) <= self.memory.list_size
        target = ffi.cast("char *", lists.address + where)
        ffi.memmove(target, prps.entries, len(prps.entries))
        return with_data_pointer(command.entry, prps.prp1, prps.prp2)

    def _free_list(self, command: Command) -> None:
        if command.prp_list >= 0:
            self._free_lists.append(command.prp_list)
            command.prp_list = -1

    # --- completions ----------------------------------------------------------------

    def reap(self, *, callbacks: bool = True) -> int:
        """Take all completions that are there and finish their requests; return how many.

        Callbacks of requests run in this thread; with ``callbacks=False`` nothing is taken
        where there may be some.  A wrong completion goes to the owner.
        """
        total = 0
        finished: list[Operation] = []
        with self.lock:
            if not callbacks and not self._may_take():
                return 0
            error = self.broken
            if self._state == "open" and error is None and self._exclusive is None:
                total, error = self._take(finished)
            self.broken = error
        if finished or error is not None:
            self._settle(finished, error)
        return total

    def _take(self, finished: list[Operation]) -> tuple[int, PymmioError | None]:
        """Take all completions that are there; return how many, and what went wrong."""
        total = 0
        while True:
            done, error = self.engine.reap()
            for one in done:
                self._complete(one, finished)
            total += len(done)
            if done and self._backlog and error is None:
                error = self._pump(finished)
            if len(done) < BATCH or error is not None:
                return total, error

    def _may_take(self) -> bool:
        """Whether any thread may take completions: not if callbacks could then run in it."""
        if self.is_polled:
            return True
        if self._backlog:
            return False
        return not any(command.request.has_callbacks for command in self._outstanding.values())

    def _complete(self, done: Done, finished: list[Operation]) -> None:
        command = self._outstanding.pop(done.cid)
        self._free_list(command)
        if command.request.part_done(done.status, done.result, done.latency_ns):
            finished.append(command.request)

    def _settle(self, finished: list[Operation], error: PymmioError | None) -> None:
        """Finish requests and hand on an error, without the lock: callbacks may come back."""
        _callbacks.depth = getattr(_callbacks, "depth", 0) + 1
        try:
            for request in finished:
                request.finish()
            if error is not None:
                self._owner.queue_broken(self, error)
        finally:
            _callbacks.depth -= 1

    def drive(self, request: Operation, timeout: float | None = None) -> float | None:
        """Take completions until ``request`` is done or ``timeout`` seconds are over.

        Returns soon where interrupts do it, except inside a callback of a request, which
        runs in the interrupt thread.  Returns what is left of the time.
        """
        if request.done():
            return None
        self._require_not_forked()
        if not self.is_polled and not getattr(_callbacks, "depth", 0):
            if not request.has_callbacks:
                self._look_briefly(request)
            return timeout
        end = None if timeout is None else time.monotonic() + timeout
        while not request.done():
            left = _SLICE_S if end is None else end - time.monotonic()
            if left <= 0:
                return 0.0
            self.poll(request, min(_SLICE_S, left))
        return None

    def _look_briefly(self, request: Operation) -> None:
        """Take what is completed sooner than an interrupt could wake anybody."""
        events = self.engine.events()
        if not request.done() and self.engine.wait(events, _BRIEF_S):
            self.reap(callbacks=False)

    def poll(self, request: Operation, wait_s: float = 0.0) -> None:
        """Take completions, waiting up to ``wait_s``; see to the time-out of ``request``."""
        self._require_not_forked()
        events = self.engine.events()
        if request.done():
            return
        seen = self.engine.wait(events, wait_s)
        if seen:
            self.reap()
        elif seen is None:
            time.sleep(0.001)  # whoever closes fails the request in a moment
        else:
            now = time.monotonic()
            self.check_device(now)
            if now >= request.deadline:
                self._owner.command_timed_out(self, request)

    def check_device(self, now: float) -> None:
        """Ask now and then whether the device is still there; for whoever waits."""
        if now >= self._check_at:
            self._check_at = now + _SLICE_S
            self._owner.check_device()

    def expired(self, now: float) -> list[Operation]:
        """Return the requests whose deadline is over."""
        with self.lock:
            return [r for r in {c.request for c in self._outstanding.values()} if now >= r.deadline]

    def next_deadline(self, default: float) -> float:
        """Return the earliest deadline of what is outstanding, at latest ``default``."""
        with self.lock:
            return min([default, *(c.request.deadline for c in self._outstanding.values())])

    def cids_of(self, request: Operation) -> list[int]:
        """Return the identifiers of the outstanding commands of a request."""
        with self.lock:
            return [cid for cid, c in self._outstanding.items() if c.request is request]

    def begin_exclusive(self, request: Operation) -> bool:
        """Leave the engine to one user, who takes ``lock`` around each call.

        Others' requests wait meanwhile; a reset fails ``request``.  False if commands are
        outstanding or the queue takes none.
        """
        with self.lock:
            self._require_open()
            is_busy = bool(self._outstanding or self._backlog or self._exclusive or self.broken)
            if is_busy or not self._accepting:
                return False
            request.expect(1)
            self._exclusive = request
            return True

    def end_exclusive(self, request: Operation) -> None:
        """Take requests again; ``request`` becomes done if a reset has not failed it."""
        with self.lock:
            if self._exclusive is not request:
                return
            self._exclusive = None
            request.part_done(0, 0, 0)
        request.finish()

    # --- life -----------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """Commands that were sent and not completed, or wait for room; a measured run is one."""
        with self.lock:
            in_use = len(self._outstanding) + len(self._backlog)
            return in_use + (self._exclusive is not None)

    @property
    def is_accepting(self) -> bool:
        """Whether new commands are wanted: not before the queue exists, in a reset, at close."""
        return self._accepting

    def accept(self, accepting: bool = True) -> None:
        """Take requests from now on, or no more; what is outstanding goes on."""
        with self.lock:
            self._accepting = accepting

    def fail_all(self, error: BaseException, is_safe: bool = True) -> list[Operation]:
        """Fail all requests; returns those that the caller has to ``finish``, without locks.

        Only when the controller is stopped.  The queue is empty then; ``accept`` opens it
        again.  Not ``is_safe``: the controller may still write, everything stays as it is.
        """
        ended: list[Operation] = []
        with self.lock:
            self._accepting = False
            commands = [*self._outstanding.values(), *self._backlog]
            self._outstanding.clear()
            self._backlog.clear()
            for command in commands:
                self._free_list(command)
                if command.request.part_failed(error):
                    ended.append(command.request)
            if self._exclusive is not None and self._exclusive.part_failed(error):
                ended.append(self._exclusive)
            self._exclusive = None
            if self._state == "open" and is_safe:
                self.engine.clear()
                self.broken = None
        return ended

    def close(self, error: BaseException | None = None) -> None:
        """Wake all who wait, fail what is left, free the memory; closing twice is fine.

        Only when the controller is stopped: it may no longer reach the memory.
        """
        if self._state != "open":
            return
        self.engine.close()
        closed = Closed(f"queue pair {self.qid} was closed", hint="Open it again")
        for request in self.fail_all(error or closed):
            request.finish()
        with self.lock:
            self._state = "closed"
        end = time.monotonic() + _LEAVE_S
        while self.engine.users():
            if time.monotonic() >= end:
                raise DeviceTimeout(f"a thread does not leave queue pair {self.qid}")
            time.sleep(0.0005)
        self.memory.close()

    def after_fork(self) -> None:
        """Refuse all use, in the child; nothing is released."""
        self.lock = threading.Lock()
        self._state = "forked"

    def _require_open(self) -> None:
        if self._state != "open":
            self._require_not_forked()
            raise Closed(f"queue pair {self.qid} is closed", hint="Open the controller again")

    def _require_not_forked(self) -> None:
        if self._state == "forked":
            raise ForkedObject(
                f"queue pair {self.qid} belongs to the parent process",
                hint="Open the device after fork",
            )
