"""Give a device back when it is asked for, in time.

Whoever removes or unbinds a device that is in use waits until its user lets go, mappings
included; VFIO tells the user by the event REQ.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Generator
from typing import Protocol

from pymmio.bounded import BoundedCall
from pymmio.errors import BadArgument, BufferBusy, DeviceGone, DeviceTimeout

__all__ = ["Release"]

_CALLBACK_SHARE = 0.5
"""The part of the time that the callback may take; the rest is for closing."""
_RETRY_S = 0.01


class _Closable(Protocol):
    name: str

    def close(self, timeout_s: float = ...) -> None: ...


class Release:
    """The promise that a device is closed when it is asked for.

    From :meth:`pymmio.Device.release_on_request`.  ``wait`` and ``await`` end when the device
    was given back, whoever closed it.
    """

    def __init__(
        self, device: _Closable, timeout_s: float, callback: Callable[[], object] | None
    ) -> None:
        """Not for callers: use :meth:`pymmio.Device.release_on_request`."""
        if not timeout_s > 0:
            raise BadArgument(f"timeout_s={timeout_s} is no time to let go in", hint="Use seconds")
        self._device = device
        self._timeout_s = timeout_s
        self._callback = callback
        self._outcome: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._lock = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether the device was given back, or could not be in time."""
        return self._outcome.done()

    def wait(self, timeout_s: float) -> None:
        """Wait until the device was given back.

        Raises what kept it from that: BufferBusy (a memoryview of a region is still there),
        DeviceTimeout (the kernel did not let it go).  Raises DeviceTimeout also when nobody
        asked for the device within ``timeout_s``.
        """
        done, _ = concurrent.futures.wait([self._outcome], timeout_s)
        if not done:
            raise DeviceTimeout(
                f"{self._device.name} was not asked for and not closed within {timeout_s:g} s"
            )
        self._outcome.result()

    def __await__(self) -> Generator[object, None, None]:
        return asyncio.wrap_future(self._outcome).__await__()

    def __call__(self) -> None:
        """Let go now.  Raises as :meth:`wait` does; runs in the thread that got the event."""
        with self._lock:
            if self.is_done:
                return
            try:
                self._let_go(time.monotonic() + self._timeout_s)
            except BaseException as error:
                self._finish(error)
                raise
            self._finish(None)

    def _let_go(self, deadline: float) -> None:
        late = self._run_callback()
        while True:
            try:
                self._device.close(timeout_s=max(0.0, deadline - time.monotonic()))
                break
            except BufferBusy as error:  # who uses it may see that it is closed, and let go
                if time.monotonic() > deadline:
                    error.add_note(f"{self._device.name} is held by it: its remover waits")
                    raise
                threading.Event().wait(_RETRY_S)
        if late is not None:
            raise late

    def _run_callback(self) -> BaseException | None:
        """Return what went wrong with the callback; the device is closed all the same."""
        if self._callback is None:
            return None
        limit_s = self._timeout_s * _CALLBACK_SHARE
        call = BoundedCall(self._callback, name=f"pymmio release of {self._device.name}")
        if not call.wait(limit_s):
            return DeviceTimeout(
                f"{self._device.name}: the callback for its release took longer than "
                f"{limit_s:g} s; the device was closed without waiting for it",
                hint="Stop the device there and do the rest later, or give more timeout_s",
            )
        try:
            call.result()
        except DeviceGone:
            return None  # there is nothing left to be stopped
        except BaseException as error:  # reported when the device is closed
            return error
        return None

    def closed(self) -> None:
        """Note that the device was closed, whoever did it; for the device."""
        self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        try:
            if error is None:
                self._outcome.set_result(None)
            else:
                self._outcome.set_exception(error)
        except concurrent.futures.InvalidStateError:
            return  # the first outcome counts
