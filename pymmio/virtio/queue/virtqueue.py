"""A virtqueue: memory, engine, and who waits for which buffer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future, InvalidStateError
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from pymmio import forks
from pymmio.dma import DmaBuffer, DmaSpace
from pymmio.errors import Closed, DeviceTimeout, ForkedObject, PymmioError
from pymmio.mmio.doorbell import Doorbell
from pymmio.virtio.queue.engine import Engine, Piece, UsedBuffer
from pymmio.virtio.queue.layout import QueueLayout

__all__ = ["QueueMemory", "Virtqueue"]

_SLICE_S = 0.02
_LEAVE_S = 5.0


class QueueMemory:
    """The DMA memory of a queue, and the addresses of its areas in it."""

    def __init__(self, dma: DmaSpace, layout: QueueLayout) -> None:
        self.layout = layout
        self.buffer = dma.alloc(layout.total)
        self.buffer.hold()
        self._is_held = True

    def close(self) -> None:
        """Free the memory; the device must not use it any more."""
        if self._is_held:
            self._is_held = False
            self.buffer.release()  # also where the device was closed first: memory stays until then
        if not self.buffer.closed:
            self.buffer.close()


@dataclass(slots=True, eq=False)
class _Request:
    readable: tuple[Piece, ...]
    writable: tuple[Piece, ...]
    future: Future[int]
    force_kick: bool
    held: list[DmaBuffer] = field(default_factory=list)

    def release(self) -> None:
        held, self.held = self.held, []
        for buffer in held:
            buffer.release()


class Virtqueue:
    """The driver's side of one virtqueue of a started device.

    Buffers that were submitted are held until the device has returned them, or was reset: a
    time-out does not end its right to write to them.  Safe for threads: the lock is held while
    entries are moved, never while waiting.  Callbacks of futures run in the thread that takes
    the buffer.  In a forked child every use raises ForkedObject, and nothing touches the ring.
    """

    def __init__(
        self,
        index: int,
        memory: QueueMemory,
        doorbell: Doorbell,
        *,
        has_event_idx: bool,
        on_broken: Callable[[PymmioError], None],
        check: Callable[[], None],
    ) -> None:
        """Not for callers: use :meth:`VirtioDevice.start`.

        ``check`` is called now and then by whoever waits, without the lock, and raises where
        waiting makes no sense.
        """
        self.index = index
        self.memory = memory
        self.doorbell = doorbell
        self.is_polled = True
        self._on_broken = on_broken
        self._check = check
        self._lock = threading.Lock()
        self._backlog: deque[_Request] = deque()
        self._outstanding: dict[int, _Request] = {}
        self._broken: PymmioError | None = None
        self._is_closed = False
        self._is_forked = False
        self.engine = Engine(
            index,
            memory.layout,
            address=memory.buffer.address,
            iova=memory.buffer.iova,
            doorbell=doorbell,
            has_event_idx=has_event_idx,
        )
        forks.track(self)

    @property
    def size(self) -> int:
        """How many descriptors the ring has."""
        return self.memory.layout.size

    @property
    def outstanding(self) -> int:
        """How many buffers the device has, or wait for room in the ring."""
        with self._lock:
            return len(self._outstanding) + len(self._backlog)

    # --- giving buffers to the device --------------------------------------------------------

    def submit(
        self,
        readable: Sequence[DmaBuffer] = (),
        writable: Sequence[DmaBuffer] = (),
        *,
        force_kick: bool = False,
    ) -> Future[int]:
        """Make a buffer available: parts that the device reads, then parts that it writes.

        Returns a future of the number of bytes that the device wrote.  Where the ring is full
        it is sent as soon as there is room.  ``force_kick`` notifies the device for this very
        buffer, whatever it says that it wants.  Raises BadArgument for a buffer that can never
        fit, Closed, and the reason why the queue is broken.
        """
        request = _Request(
            tuple(Piece(part.iova, part.size) for part in readable),
            tuple(Piece(part.iova, part.size) for part in writable),
            Future(),
            force_kick,
        )
        request.future.set_running_or_notify_cancel()  # the device cannot be told to forget it
        with ExitStack() as undo:
            undo.callback(self._take_back, request)
            for part in (*readable, *writable):
                part.hold()
                request.held.append(part)  # before the device can return it
            with self._lock:
                self._require_usable()
                error = None
                if self._backlog:
                    self.engine.check(request.readable, request.writable)
                    self._backlog.append(request)
                else:
                    error = self._send(request)
            undo.pop_all()
        if error is not None:
            self._break(error)
        return request.future

    def _take_back(self, request: _Request) -> None:
        """Let go of the memory of a request that was not sent; the device has it otherwise."""
        with self._lock:
            is_sent = request in self._outstanding.values()
        if not is_sent:
            request.release()

    def _send(self, request: _Request) -> PymmioError | None:
        """Send one request, later if there is no room now; return why the queue broke."""
        buffer_id = self.engine.add(request.readable, request.writable)
        if buffer_id is None:
            self._backlog.appendleft(request)
            return None
        self._outstanding[buffer_id] = request
        try:
            self.engine.kick(force=request.force_kick)
        except PymmioError as error:
            return error
        return None

    # --- taking them back --------------------------------------------------------------------

    def reap(self) -> int:
        """Take all buffers that the device has used and complete their futures; return how many.

        A device that breaks the rules breaks the queue: its owner is told.
        """
        total = 0
        while True:
            taken: list[tuple[_Request, UsedBuffer]] = []
            try:
                with self._lock:
                    if self._is_closed or self._is_forked or self._broken is not None:
                        return total
                    used, error = self.engine.reap()
                    for one in used:
                        taken.append((self._outstanding.pop(one.id), one))
                    if error is None:
                        error = self._send_backlog()
            finally:  # a signal's exception comes out of a doorbell, for instance
                for request, one in taken:
                    request.release()
                    request.future.set_result(one.written)
                if taken:
                    self.engine.wake()  # who has seen its events before the future was done
            total += len(taken)
            if error is not None:
                self._break(error)
                return total
            if not taken:
                return total

    def _send_backlog(self) -> PymmioError | None:
        """Send what waits, as there is room; return why the queue broke."""
        while self._backlog:
            waiting = self._backlog.popleft()
            try:
                error = self._send(waiting)
            except Closed:
                self._backlog.appendleft(waiting)
                return None  # whoever closes fails it in a moment
            except PymmioError as refused:
                self._backlog.appendleft(waiting)
                return refused
            if error is not None:
                return error
            if self._backlog and self._backlog[0] is waiting:
                return None
        return None

    def wait(self, future: Future[int], timeout_s: float) -> int:
        """Wait until ``future`` of this queue is done and return its result.

        Where no interrupt does it, the caller takes buffers meanwhile.  Raises DeviceTimeout
        (the buffer then stays with the device), or what the future was failed with.
        """
        self._require_own()
        deadline = time.monotonic() + timeout_s
        while not future.done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeviceTimeout(
                    f"virtqueue {self.index}: the device has not returned a buffer within"
                    f" {timeout_s:g} s",
                    hint="The buffer stays with the device until it is reset",
                )
            if self.is_polled:
                self.poll(min(left, _SLICE_S), future)
            else:
                futures.wait((future,), min(left, _SLICE_S))
            if not future.done():
                self._check()
        return future.result()

    def poll(self, timeout_s: float, until: Future[Any] | None = None) -> int:
        """Wait up to ``timeout_s``, 20 ms at most, for used buffers; take them; return how many.

        Does not wait if ``until`` is done, whoever has taken its buffer.
        """
        self._require_own()
        events = self.engine.events()
        if until is not None and until.done():
            return 0
        found = self.engine.wait(events, min(timeout_s, _SLICE_S))
        if found is None:
            time.sleep(0.001)  # whoever closes fails the futures in a moment
            return 0
        return self.reap() if found else 0

    def interrupts(self, wanted: bool) -> None:
        """Ask the device for interrupts, or for none; buffers that are there are taken."""
        with self._lock:
            self._require_usable()
            is_there = self.engine.interrupts(wanted)
        if is_there:
            self.reap()

    # --- the end -----------------------------------------------------------------------------

    def _break(self, error: PymmioError) -> None:
        with self._lock:
            if self._broken is not None:
                return
            self._broken = error
        self.fail_all(error, is_stopped=False)
        self._on_broken(error)

    def fail_all(self, error: BaseException, *, is_stopped: bool) -> None:
        """Fail all futures.  Memory is let go only if ``is_stopped``: the device was reset."""
        if self._is_forked:
            return
        with self._lock:
            requests = [*self._outstanding.values(), *self._backlog]
            backlog = len(self._backlog)
            self._backlog.clear()
            if is_stopped:
                self._outstanding.clear()
                self._broken = None
                if not self.memory.buffer.closed:
                    self.engine.clear()
            elif self._broken is None and isinstance(error, PymmioError):
                self._broken = error
        for i, request in enumerate(requests):
            if is_stopped or i >= len(requests) - backlog:
                request.release()
            with suppress(InvalidStateError):  # another thread failed it just now, or before
                request.future.set_exception(error)

    def close(self) -> None:
        """Wake all who wait, fail what is left, free the memory; the device was reset before."""
        if self._is_forked:
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self.engine.close()
        self.fail_all(Closed(f"virtqueue {self.index} is closed"), is_stopped=True)
        deadline = time.monotonic() + _LEAVE_S
        while self.engine.users():
            if time.monotonic() > deadline:
                raise DeviceTimeout(f"virtqueue {self.index}: somebody still looks at its ring")
            time.sleep(0.001)
        self.doorbell.close()
        self.memory.close()

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._is_forked = True

    def _require_own(self) -> None:
        if self._is_forked:
            raise ForkedObject(
                f"virtqueue {self.index} belongs to the parent process",
                hint="Open the device in the child",
            )

    def _require_usable(self) -> None:
        self._require_own()
        if self._is_closed:
            raise Closed(f"virtqueue {self.index} is closed", hint="Open the device again")
        if self._broken is not None:
            raise self._broken

    def __repr__(self) -> str:
        kind = "packed" if self.memory.layout.is_packed else "split"
        return f"<Virtqueue {self.index}: {kind}, {self.size} descriptors>"
