"""Asynchronous events: what the controller reports by itself (NVMe Base 2.0 §5.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymmio.errors import PymmioError
from pymmio_drivers.nvme import command
from pymmio_drivers.nvme.request import Completion

if TYPE_CHECKING:
    from pymmio_drivers.nvme.admin import Admin
    from pymmio_drivers.nvme.machine import Machine

__all__ = ["AsyncEvent", "Events"]

_AT_ONCE = 4  # more are only useful where events come faster than the log is read

_KINDS = {0: "error", 1: "health", 2: "notice", 3: "immediate", 6: "command set", 7: "vendor"}


@dataclass(frozen=True, slots=True)
class AsyncEvent:
    """One event: type, information and the log page that has the details.

    The controller reports no further event of this type until the log page was read.
    """

    kind: int
    info: int
    log_page: int

    @property
    def name(self) -> str:
        """The type in words."""
        return _KINDS.get(self.kind, f"type {self.kind}")


class Events:
    """Keeps event requests outstanding while somebody listens."""

    def __init__(
        self, admin: Admin, machine: Machine, callback: Callable[[AsyncEvent], None] | None
    ) -> None:
        self._admin = admin
        self._machine = machine
        self._callback = callback

    def start(self) -> None:
        """Send the event requests, after each start of the controller."""
        if self._callback is None:
            return
        for _ in range(min(_AT_ONCE, self._machine.identity.aerl + 1)):
            self._send()

    def _send(self) -> None:
        entry = command.async_event_request()
        request = self._admin.start(entry, "asynchronous event request", timeout_s=math.inf)
        request.add_done_callback(self._arrived)

    def _arrived(self, request: Future[Completion]) -> None:
        """Report the event and ask for the next one.  Runs where completions are taken."""
        if request.exception(0) is not None or self._callback is None:
            return  # reset or close; a reset sends new requests
        result = request.result(0).result
        with suppress(PymmioError):  # being closed; or the reset that follows sends it
            self._send()
        self._callback(AsyncEvent(result & 7, result >> 8 & 0xFF, result >> 16 & 0xFF))
