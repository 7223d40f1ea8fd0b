"""Flushes, as few as possible: who asks while one is running shares the next one.

A flush that starts after a request serves it.  One that was running already does not: the
device may have looked at the memory before it was written.
"""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future

from pymmio import forks
from pymmio.dma import DmaBuffer
from pymmio.errors import Closed, DeviceFailed, ForkedObject, ProtocolError
from pymmio.virtio import VirtioDevice
from pymmio_drivers.virtio_pmem.errors import FlushError

__all__ = ["Flusher", "FlushFuture", "FlushResult"]

REQUEST_QUEUE = 0

_TYPE_FLUSH = 0  # VIRTIO_PMEM_REQ_TYPE_FLUSH (§5.19.6)
_REQUEST, _RESPONSE, _WORD = slice(0, 4), slice(64, 68), 4


class FlushResult(enum.StrEnum):
    """How a flush was served."""

    DONE = "done"  #: by a flush that was made for this request
    JOINED = "joined"  #: by one that was started for another request, after this one was made


class FlushFuture(Future[FlushResult]):
    """The result of a flush that is under way; ``await`` works too.

    Where no interrupt tells of completions, ``result`` and ``exception`` look for them, and
    ``await`` lets a thread do so.
    """

    def __init__(self, drive: Callable[[float | None], None] | None) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()  # the device cannot be told to forget a request
        self._drive = drive

    def result(self, timeout: float | None = None) -> FlushResult:
        """Wait for the flush; raises FlushError, DeviceTimeout, or what ended the device."""
        self._look(timeout)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait likewise, and return what it failed with, None if it did not."""
        self._look(timeout)
        return super().exception(timeout)

    def _look(self, timeout: float | None) -> None:
        if self._drive is not None and not self.done():
            self._drive(timeout)

    def __await__(self) -> Generator[object, None, FlushResult]:
        if self._drive is None:
            return asyncio.wrap_future(self).__await__()
        return asyncio.to_thread(self.result).__await__()


class Flusher:
    """The request queue of a started device.  Safe for threads."""

    def __init__(self, virtio: VirtioDevice) -> None:
        self._virtio = virtio
        self._lock = threading.Lock()
        self._running: list[FlushFuture] = []
        self._waiting: list[FlushFuture] = []
        self._is_closed = False
        self._is_forked = False
        self.device_flushes = 0  #: how many requests the device got
        self._buffer: DmaBuffer = virtio.dma.alloc(128)
        self._words = memoryview(self._buffer)
        forks.track(self)

    def start(self, drive: Callable[[FlushFuture, float | None], None]) -> FlushFuture:
        """Ask for a flush of all that was written until now."""
        if self._is_forked:
            raise ForkedObject(
                f"{self._virtio.name} belongs to the parent process",
                hint="Open the device in the child",
            )
        queue = self._virtio.queues.get(REQUEST_QUEUE)
        is_polled = queue is not None and queue.is_polled
        future: FlushFuture
        future = FlushFuture((lambda timeout: drive(future, timeout)) if is_polled else None)
        with self._lock:
            self._require_open()
            if self._running:
                self._waiting.append(future)
                return future
            self._running = [future]
        self._send()
        return future

    def _send(self) -> None:
        """Send one request for all in ``_running``; without the lock: it may be done at once."""
        try:
            with self._lock:
                self._require_open()
                self._words[_REQUEST] = _TYPE_FLUSH.to_bytes(_WORD, "little")
                self._words[_RESPONSE] = b"\xff" * _WORD
            queue = self._virtio.queues.get(REQUEST_QUEUE)
            if queue is None:
                raise DeviceFailed(
                    f"{self._virtio.name} is being reset", hint="Ask again when it is started"
                )
            # QEMU takes one request a notification, whatever its ring says that it wants.
            sent = queue.submit(
                [self._buffer[_REQUEST]], [self._buffer[_RESPONSE]], force_kick=True
            )
            self.device_flushes += 1
        except Exception as error:
            self._fail(error)
            return
        sent.add_done_callback(self._returned)

    def _returned(self, sent: Future[int]) -> None:
        error = sent.exception()
        if error is None:
            self._end(self._judge(sent.result()))
        else:
            self._fail(error)

    def _judge(self, written: int) -> Exception | None:
        if written < _WORD:
            return ProtocolError(
                f"{self._virtio.name}: a flush came back with {written} bytes of its result",
                hint="The device must be reset; it is at fault",
            )
        ret = int.from_bytes(self._words[_RESPONSE], "little")
        if ret == 0:
            return None
        return FlushError(
            f"{self._virtio.name}: the host could not flush (the device answered {ret})",
            ret=ret,
            hint="Look at the host's log; write what matters again, or elsewhere",
        )

    def _end(self, error: BaseException | None) -> None:
        """Tell those whose flush this was, and start the next for those who came meanwhile."""
        with self._lock:
            ended, self._running, self._waiting = self._running, self._waiting, []
            goes_on = bool(self._running)
        for i, future in enumerate(ended):
            if error is None:
                future.set_result(FlushResult.JOINED if i else FlushResult.DONE)
            else:
                future.set_exception(error)
        if goes_on:
            self._send()

    def _fail(self, error: BaseException) -> None:
        """Fail all: the device, or its queue, does not serve the next flush either."""
        with self._lock:
            failed = [*self._running, *self._waiting]
            self._running, self._waiting = [], []
        for future in failed:
            future.set_exception(error)

    def _require_open(self) -> None:
        if self._is_closed:
            raise Closed(f"{self._virtio.name} is closed", hint="Open the device again")

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._is_forked = True

    def close(self) -> None:
        """Free the request; the device was reset before, which has failed who waits."""
        with self._lock:
            self._is_closed = True
        self._words.release()
        self._buffer.close()
