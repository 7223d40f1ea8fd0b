"""Wait for an eventfd in asyncio: one reader for each event loop, while somebody awaits."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable

__all__ = ["AsyncWaiters"]


class AsyncWaiters:
    """The coroutines, of any number of event loops, that wait for one eventfd.

    ``take`` returns and resets the number of events, or raises what the coroutines shall see.
    Events are delivered to all coroutines of a loop that wait at that time.
    """

    def __init__(self, take: Callable[[], int]) -> None:
        self._take = take
        self._readers: dict[asyncio.AbstractEventLoop, _LoopReader] = {}
        self._lock = threading.Lock()

    def join(self, fd: int) -> asyncio.Future[int]:
        """Return a future of the running loop that gets the number of events.

        Ends with ``leave``, in the same loop, whatever happened to the future.
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            reader = self._readers.get(loop)
            if reader is None:
                reader = self._readers[loop] = _LoopReader(loop, fd, self._take)
            return reader.add()

    def leave(self, future: asyncio.Future[int]) -> None:
        """Forget a future; the last one of a loop takes the loop's reader with it."""
        loop = future.get_loop()
        with self._lock:
            reader = self._readers[loop]
            if reader.discard(future):
                del self._readers[loop]


class _LoopReader:
    """The futures of one loop.  Has a descriptor of its own.

    So the owner may close the original from any thread while the loop still watches.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, take: Callable[[], int]) -> None:
        self._loop = loop
        self._take = take
        self._futures: set[asyncio.Future[int]] = set()
        self._fd = os.dup(fd)
        try:
            loop.add_reader(self._fd, self._on_readable)
        except BaseException:
            os.close(self._fd)
            raise

    def add(self) -> asyncio.Future[int]:
        future = self._loop.create_future()
        self._futures.add(future)
        return future

    def discard(self, future: asyncio.Future[int]) -> bool:
        """Forget a future; return True when it was the last one and the reader is gone."""
        self._futures.discard(future)
        if self._futures:
            return False
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        return True

    def _on_readable(self) -> None:
        waiting = [future for future in self._futures if not future.done()]
        if not waiting:
            return  # those that got the last events leave in this turn of the loop
        try:
            events = self._take()
        except Exception as error:
            for future in waiting:
                future.set_exception(error)
            return
        if events:  # else another thread was faster
            for future in waiting:
                future.set_result(events)
