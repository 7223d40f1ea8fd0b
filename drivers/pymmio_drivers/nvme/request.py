"""Requests: what a caller gets for a command that was sent, as a future."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pymmio.errors import Closed, DeviceGone
from pymmio_drivers.nvme.errors import CommandTimeout, StatusError
from pymmio_drivers.nvme.status import is_success, status_error

if TYPE_CHECKING:
    from pymmio_drivers.nvme.queue import QueuePair

__all__ = ["Command", "Completion", "Held", "Request"]


class Held(Protocol):
    """Memory that the device uses: a DmaBuffer."""

    def hold(self) -> None: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Completion:
    """What the controller answered: DW0 of the last completion, and how long the slowest took."""

    result: int
    latency_ns: int


@dataclass(slots=True)
class Command:
    """One submission queue entry of a request; data pointer and identifier come when it is sent."""

    request: Request
    entry: bytes
    iova: int = 0
    size: int = 0
    prp_list: int = -1  #: number of the PRP list area that it uses


class Request(Future[Completion]):
    """One operation of a caller: one command, or several where it had to be split.

    A :class:`concurrent.futures.Future` that can also be awaited.  ``result()`` and
    ``exception()`` drive the queue where no interrupt does.  It cannot be cancelled: the
    memory belongs to the device until the command ends.  ``what`` names the operation in
    messages.  Memory in ``held`` is held from now on and released before the future is done.
    """

    def __init__(
        self, queue: QueuePair, what: str, *, timeout_s: float, held: Sequence[Held] = ()
    ) -> None:
        super().__init__()
        self.what = what
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
        self.set_running_or_notify_cancel()
        for memory in held:
            memory.hold()
            self._held.append(memory)

    # --- for the queue, under its lock ----------------------------------------------

    @property
    def has_failed(self) -> bool:
        """Whether a part of it failed already."""
        return self._error is not None or self._status != 0

    def expect(self, parts: int) -> None:
        """Count ``parts`` commands as outstanding; the time-out starts."""
        self._left += parts
        self.touch()

    def touch(self) -> None:
        """Start the time-out anew: something went on."""
        self.deadline = time.monotonic() + self.timeout_s

    def part_done(self, status: int, result: int, latency_ns: int) -> bool:
        """Note the completion of one command; return whether it was the last."""
        self._left -= 1
        self._dw0 = result
        self._latency_ns = max(self._latency_ns, latency_ns)
        if not is_success(status) and not self._status:
            self._status = status
        self.touch()
        return self._left == 0

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
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(Completion(self._dw0, self._latency_ns))

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

    # --- for callers -----------------------------------------------------------------

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
