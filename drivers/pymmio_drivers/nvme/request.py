"""Operations of callers: futures for those who go on, slim ones for those who wait."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from pymmio.errors import Closed, DeviceGone
from pymmio_drivers.nvme.errors import CommandTimeout, StatusError
from pymmio_drivers.nvme.status import is_success, status_error

if TYPE_CHECKING:
    from pymmio_drivers.nvme.queue import QueuePair

__all__ = ["AnyOperation", "Call", "Command", "Completion", "Held", "Operation", "Request"]


class Held(Protocol):
    """Memory that the device uses: a DmaBuffer."""

    def hold(self) -> None: ...
    def release(self) -> None: ...


AnyOperation = TypeVar("AnyOperation", bound="Operation")


@dataclass(frozen=True, slots=True)
class Completion:
    """What the controller answered: DW0 of the last completion, and how long the slowest took."""

    result: int
    latency_ns: int


@dataclass(slots=True)
class Command:
    """One submission queue entry of an operation; data pointer and identifier come at the end."""

    request: Operation
    entry: bytes
    iova: int = 0
    size: int = 0
    prp_list: int = -1  #: number of the PRP list area that it uses


class Operation:
    """One operation of a caller: one command, or several where it had to be split.

    ``what`` names it in messages, and may be made only for them.  Memory in ``held`` is held
    from now on and released before it is done.
    """

    has_callbacks = True
    """Whether code of the user may run when it becomes done."""

    def __init__(
        self,
        queue: QueuePair,
        what: str | Callable[[], str],
        *,
        timeout_s: float,
        held: Sequence[Held] = (),
    ) -> None:
        self._what = what
        self.timeout_s = timeout_s
        self.deadline = math.inf
        self.timed_out: CommandTimeout | None = None
        self.queue = queue
        self._left = 0
        self._status = 0
        self._dw0 = 0
        self._latency_ns = 0
        self._error: BaseException | None = None
        self._held: list[Held] = []
        for memory in held:
            memory.hold()
            self._held.append(memory)

    @property
    def what(self) -> str:
        """What the caller asked for, in words."""
        return self._what if isinstance(self._what, str) else self._what()

    def done(self) -> bool:
        """Whether it has ended."""
        raise NotImplementedError

    def _end(self, error: BaseException | None) -> None:
        """Become done."""
        raise NotImplementedError

    # --- for the queue, under its lock ----------------------------------------------

    @property
    def has_failed(self) -> bool:
        """Whether a part of it failed already."""
        return self._error is not None or self._status != 0

    def expect(self, parts: int) -> None:
        """Count ``parts`` commands as outstanding; the time-out starts."""
        self._left += parts
        self.deadline = time.monotonic() + self.timeout_s

    def part_done(self, status: int, result: int, latency_ns: int) -> bool:
        """Note the completion of one command; return whether it was the last."""
        self._left -= 1
        self._dw0 = result
        if latency_ns > self._latency_ns:
            self._latency_ns = latency_ns
        if not is_success(status) and not self._status:
            self._status = status
        if self._left == 0:
            return True
        self.deadline = time.monotonic() + self.timeout_s  # anew: something went on
        return False

    def part_failed(self, error: BaseException | None) -> bool:
        """Note that one command never completes; return whether it was the last."""
        self._left -= 1
        is_lost = isinstance(error, (DeviceGone, Closed))  # then nothing else matters
        if self.timed_out is not None and error is not None and not is_lost:
            self.timed_out.__cause__ = error
            error = self.timed_out
        self._error = self._error or error
        return self._left == 0

    # --- without the lock: callbacks run ---------------------------------------------

    def finish(self, *, release: bool = True) -> None:
        """Give the memory back and become done.

        With ``release=False`` the memory stays held for good: the device could not be stopped.
        """
        held, self._held = self._held, []
        if release:
            for memory in held:
                memory.release()
        error = self._error
        if error is None and self._status:
            error = self._status_error()
        self._end(error)

    def withdraw(self, error: BaseException) -> None:
        """Become done if nothing of it was sent; else the queue ends it."""
        if self._left == 0 and not self.done():
            self._error = error
            self.finish()

    def _status_error(self) -> BaseException:
        error: StatusError = status_error(self._status, self.what)
        if self.timed_out is None:
            return error
        self.timed_out.__cause__ = error
        return self.timed_out


class Call(Operation):
    """An operation whose caller waits for it: without the cost of a future."""

    has_callbacks = False

    def __init__(
        self,
        queue: QueuePair,
        what: str | Callable[[], str],
        *,
        timeout_s: float,
        held: Sequence[Held] = (),
    ) -> None:
        super().__init__(queue, what, timeout_s=timeout_s, held=held)
        self._is_done = False
        self._running = threading.Lock()  # until it is done
        self._running.acquire()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._is_done

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._is_done = True
        self._running.release()

    def wait(self) -> None:
        """Wait for the end; raises what went wrong, as ``Request.result``."""
        self.queue.drive(self)
        if not self._is_done:
            self._running.acquire()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # else its traceback, which has this frame, would keep it alive


class Request(Future[Completion], Operation):
    """An operation as a :class:`concurrent.futures.Future` that can also be awaited.

    ``result()`` and ``exception()`` drive the queue where no interrupt does.  It cannot be
    cancelled: the memory belongs to the device until the command ends.
    """

    def __init__(
        self,
        queue: QueuePair,
        what: str | Callable[[], str],
        *,
        timeout_s: float,
        held: Sequence[Held] = (),
    ) -> None:
        Future.__init__(self)
        Operation.__init__(self, queue, what, timeout_s=timeout_s, held=held)
        self.set_running_or_notify_cancel()

    def _end(self, error: BaseException | None) -> None:
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(Completion(self._dw0, self._latency_ns))

    def result(self, timeout: float | None = None) -> Completion:
        """Wait for the end of the request and return its completion.

        Raises what went wrong: StatusError, CommandTimeout, CommandAborted, ControllerFailed...
        or TimeoutError when ``timeout`` seconds are over, with the request still running.
        """
        return super().result(self._drive(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait likewise and return the exception, None if all went well."""
        return super().exception(self._drive(timeout))

    def _drive(self, timeout: float | None) -> float | None:
        return timeout if self.done() else self.queue.drive(self, timeout)

    def __await__(self) -> Generator[object, None, Completion]:
        if self.queue.is_polled and not self.done():
            yield from self._poll().__await__()
        return (yield from asyncio.wrap_future(self).__await__())

    async def _poll(self) -> None:
        rounds = 0
        while not self.done():
            self.queue.poll(self)
            rounds += 1
            await asyncio.sleep(0 if rounds < 100 else 0.0005)
