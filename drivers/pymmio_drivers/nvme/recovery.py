"""When something goes wrong: time-outs, aborts, controller resets, and who may send what.

A command that is not completed in time is aborted; if that does not help within the grace
period the controller is reset, and so it is when it writes a wrong completion, reports a fatal
error, or its doorbells fail.  Requests that were outstanding then fail, and only after the
controller can no longer write is their memory given back.  A controller that does not come back
is failed for good: every call raises ControllerFailed, ``close`` works.  So is one whose device
has left (ControllerGone) or was closed under the driver (ControllerClosed).
"""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pymmio.errors import Closed, DeviceGone, ForkedObject, PymmioError
from pymmio_drivers.nvme import command
from pymmio_drivers.nvme.errors import (
    CommandAborted,
    CommandTimeout,
    ControllerClosed,
    ControllerFailed,
    ControllerGone,
)
from pymmio_drivers.nvme.machine import Halt
from pymmio_drivers.nvme.request import Command, Operation

if TYPE_CHECKING:
    from pymmio_drivers.nvme.admin import Admin
    from pymmio_drivers.nvme.machine import Machine
    from pymmio_drivers.nvme.queue import QueuePair

__all__ = ["Recovery", "State"]


class State(enum.StrEnum):
    """Where a controller is in its life."""

    STARTING = "starting"
    READY = "ready"
    RECOVERING = "recovering"
    FAILED = "failed"
    CLOSING = "closing"
    CLOSED = "closed"
    FORKED = "forked"


class Recovery:
    """The state of one controller, and the way back to READY.  Safe for threads."""

    machine: Machine
    admin: Admin

    def __init__(self, name: str, *, abort_grace_s: float) -> None:
        self.name = name
        self.state = State.STARTING
        self.cause: BaseException | None = None
        self.resets = 0
        self.on_ready: Callable[[], None] = lambda: None  #: after each successful reset
        self.restart: Callable[[], None] = lambda: None  #: starts the halted machine
        self._abort_grace_s = abort_grace_s
        self._lock = threading.RLock()
        self._ended: deque[tuple[Operation, bool]] = deque()
        self._insider: int | None = threading.get_ident()  # its commands pass in any state

    # --- sending ----------------------------------------------------------------------

    def dispatch(self, queue: QueuePair, request: Operation, commands: list[Command]) -> None:
        """Send a request as soon as the controller is ready, after a reset under way.

        Raises ControllerFailed, ControllerClosed, ForkedObject with the memory given back.
        """
        try:
            while True:
                self.require_ready()
                if queue.submit(request, commands):
                    return
                if self._is_insider:
                    raise ControllerFailed(f"{self.name}: queue {queue.qid} is broken")
                time.sleep(0.001)  # between a failure and the reset that follows it
        except PymmioError as error:
            request.withdraw(error)
            raise

    def require_ready(self) -> None:
        """Return when requests may be sent; waits for the end of a reset."""
        if self.state is State.READY or self._is_insider:
            return
        self._wait_for_reset()
        error = self._refusal(self.state)
        if error is not None:
            raise error

    def _wait_for_reset(self) -> None:
        """Return when no other thread resets the controller."""
        if self.state is State.RECOVERING and not self._is_insider:
            with self._lock:  # whoever resets it holds the lock
                pass

    def _refusal(self, state: State) -> PymmioError | None:
        error: PymmioError
        if state in (State.READY, State.RECOVERING):
            return None
        if state is State.FORKED:
            return ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device after fork"
            )
        if state is not State.FAILED:
            error = ControllerClosed(f"{self.name} is closed", hint="Open the controller again")
        elif isinstance(self.cause, DeviceGone):
            error = ControllerGone(
                f"{self.name} is lost: {self.cause.message}",
                hint="Close it; open it again when it is back",
            )
        elif isinstance(self.cause, Closed):
            error = ControllerClosed(
                f"{self.name}: the device was closed, the controller was not",
                hint="Close the controller; open both again",
            )
        else:
            error = ControllerFailed(
                f"{self.name} has failed: {self.cause}",
                hint="Close it and open it again, or reset the device",
            )
        error.__cause__ = self.cause
        return error

    def explained(self, error: Closed) -> PymmioError:
        """Return what to raise where memory is closed: why it is, if the device is lost."""
        self._wait_for_reset()  # which ends early where the device has left
        self.check_device()
        return self._refusal(self.state) or error

    @property
    def _is_insider(self) -> bool:
        return self._insider == threading.get_ident()

    # --- what queues report -----------------------------------------------------------

    def command_timed_out(self, queue: QueuePair, request: Operation) -> None:
        """Abort the command; if that does not end it, reset the controller."""
        timeout = CommandTimeout(
            f"{request.what}: no completion within {request.timeout_s:g} s",
            hint="Look at the error log and SMART data; the controller may be stuck",
        )
        if self._is_insider:
            raise timeout
        with self._settling():
            queue.reap()  # it may be there, and only the interrupt was lost
            if request.done() or time.monotonic() < request.deadline:
                return
            if self.state is not State.READY:
                return  # whoever closes or has given up fails the request
            request.timed_out = timeout
            cause: PymmioError = timeout
            with self._as_insider():
                try:
                    self.machine.lifecycle.status()
                    if queue is not self.machine.admin_queue:
                        self._abort(queue, request)
                except PymmioError as error:
                    cause = error
            if not request.done():
                self._reset(cause)

    def _abort(self, queue: QueuePair, request: Operation) -> None:
        """Ask for the end of a request and give it the grace period."""
        grace = self._abort_grace_s
        request.deadline = time.monotonic() + grace
        limit = self.machine.identity.acl + 1
        aborts = [
            self.admin.start(command.abort(queue.qid, cid), f"abort of {cid:#x}", timeout_s=grace)
            for cid in queue.cids_of(request)[:limit]
        ]
        for abort in aborts:
            abort.result()
        while not request.done():
            queue.poll(request, 0.02)  # raises CommandTimeout at the end of the grace

    def queue_broken(self, queue: QueuePair, error: PymmioError) -> None:
        """Reset the controller: it said something wrong, or does not hear."""
        if self._is_insider:
            raise error
        with self._settling():
            if self.state is State.READY and queue.broken is not None:
                self._reset(error)

    def check_device(self) -> None:
        """Fail everything if the device has left the machine, or was closed under the driver."""
        if self.state is not State.READY and not self._is_insider:
            return  # whoever resets or closes it sees to that
        try:
            self.machine.device.check_present()
        except PymmioError as error:
            if self._is_insider:
                raise
            self.give_up(error)

    # --- reset ------------------------------------------------------------------------

    def reset(self) -> None:
        """Reset the controller by request of the user; also tries to bring back a failed one."""
        with self._settling():
            if self.state is not State.FAILED:
                self.require_ready()
            self._reset(CommandAborted(f"{self.name}: a controller reset was asked for"))
            self.require_ready()

    def give_up(self, error: BaseException) -> None:
        """Halt the controller and fail everything: a thread of the driver, or the device, died."""
        with self._settling(), self._as_insider():
            if self.state in (State.READY, State.RECOVERING):
                self._fail(error)

    def _reset(self, cause: BaseException) -> None:
        with self._as_insider():
            self.state = State.RECOVERING
            self.resets += 1
            for queue in self.machine.queues:
                queue.accept(False)  # nothing that waits for room is sent any more
            halt, cause = self._halt(cause)
            if halt is not Halt.STOPPED:
                self._failed(cause)
                return
            try:
                self.restart()
            except PymmioError as error:
                error.__context__ = cause
                self._fail(error)
                return
            except BaseException as error:  # Ctrl-C: nobody knows how far it came
                self._fail(error)
                raise
            self.cause = None
            self.state = State.READY
        self.on_ready()

    def _fail(self, error: BaseException) -> None:
        _, cause = self._halt(error)
        self._failed(cause)

    def _failed(self, cause: BaseException) -> None:
        self.cause = cause
        self.state = State.FAILED

    def _halt(self, cause: BaseException) -> tuple[Halt, BaseException]:
        """Stop the controller, then fail what was outstanding, with ``cause`` as the cause.

        If the device turns out to be lost, that is the cause.  Returns it.
        """
        halt, problems = self.machine.halt()
        for problem in problems:
            if halt is not Halt.STOPPED and isinstance(problem, (DeviceGone, Closed)):
                cause = problem
                break
            if problem is not cause:  # a device may raise the same one again and again
                cause.add_note(f"while the controller was halted: {problem}")
        for queue in self.machine.queues:
            error = self._end_of_commands(cause)
            error.__cause__ = cause
            is_safe = halt is not Halt.UNSAFE
            self._ended.extend((one, is_safe) for one in queue.fail_all(error, is_safe))
        return halt, cause

    def _end_of_commands(self, cause: BaseException) -> PymmioError:
        when, unknown = f"{self.name}: the command was outstanding when", "Whether it had an effect"
        if isinstance(cause, DeviceGone):
            return ControllerGone(
                f"{when} the device left: {cause.message}", hint=f"{unknown} is unknown"
            )
        if isinstance(cause, Closed) and not isinstance(cause, ControllerClosed):
            return ControllerClosed(
                f"{when} the device was closed",
                hint="Close the controller before its device: release_on_request(timeout_s,"
                " controller.close)",
            )
        return CommandAborted(
            f"{when} the controller was reset ({type(cause).__name__})",
            hint=f"{unknown} is unknown; send it again",
        )

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """Take the lock; end requests after it, when the controller is in its new state.

        Who waits for them, and their callbacks, can go on with the controller at once.
        """
        try:
            with self._lock:
                yield
        finally:
            self._end_requests()

    def _end_requests(self) -> None:
        while self._ended:
            with suppress(IndexError):  # another thread took the last one
                request, release = self._ended.popleft()
                request.finish(release=release)

    @contextmanager
    def _as_insider(self) -> Iterator[None]:
        """Let this thread send commands and poll for them, whatever the state."""
        before, polled = self._insider, [q.is_polled for q in self.machine.queues]
        self._insider = threading.get_ident()
        for queue in self.machine.queues:
            queue.is_polled = True
        try:
            yield
        finally:
            for queue, was in zip(self.machine.queues, polled, strict=False):
                queue.is_polled = was
            self._insider = before

    # --- open and close ---------------------------------------------------------------

    def opened(self) -> None:
        """Let everybody send: the controller is started."""
        self.state = State.READY
        self._insider = None

    def closing(self) -> State | None:
        """Let nobody but this thread send any more; None if that was done before."""
        with self._lock:
            if self.state in (State.CLOSING, State.CLOSED, State.FORKED):
                return None
            try:
                self.machine.device.check_present()
            except (DeviceGone, Closed) as error:
                self.cause = error  # what calls raise from now on says so
            before, self.state = self.state, State.CLOSING
            self._insider = threading.get_ident()
            return before

    def closed(self) -> None:
        """Note that everything was given back."""
        self.state = State.CLOSED
        self._insider = None

    def drain(self, timeout_s: float) -> None:
        """Take completions until no I/O command is outstanding, for ``timeout_s`` at most."""
        end = time.monotonic() + timeout_s
        while any(queue.outstanding for queue in self.machine.io_queues):
            if time.monotonic() >= end:
                return
            if not sum(queue.reap() for queue in self.machine.io_queues):
                time.sleep(0.001)

    def halt_and_fail(self, cause: BaseException) -> Halt:
        """Stop the controller for good, at close or when opening fails."""
        halt, found = self._halt(cause)
        self._end_requests()
        if found is not cause:
            self.cause = found
        return halt

    def after_fork(self) -> None:
        """Refuse all use, in the child."""
        self._lock = threading.RLock()
        self.state = State.FORKED
        self._insider = None
