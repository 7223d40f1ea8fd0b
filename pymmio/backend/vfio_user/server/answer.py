"""The answer to a command: sent once, and early where it must not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from pymmio.backend.vfio_user.messages import Header

__all__ = ["Answer", "Send"]

PATIENCE_S = 1.0
"""How long a write may keep a device busy before it is answered all the same, in seconds."""


class Send(Protocol):
    """Sends a whole message; from any thread."""

    def __call__(self, header: Header, payload: bytes = ..., fds: Sequence[int] = ...) -> None: ...


class Answer:
    """What a client waits for after a command.

    Writes of PCI are posted: once it is certain that one reaches the device, ``early`` is set
    to the payload of its reply, which then need not wait for what the device does.  A client
    that is asked for memory while it waits for the answer to a write may never answer either.
    """

    def __init__(self, header: Header, send: Send) -> None:
        self.header = header
        self._send = send
        self._lock = threading.Lock()
        self._is_due = header.wants_reply
        self._early: bytes | None = None
        self._since = 0.0

    def may_be_early(self, payload: bytes) -> None:
        """Say what to answer before the device is done, if need be."""
        self._since = time.monotonic()
        self._early = payload

    def send_early(self) -> None:
        """Answer now if that is possible."""
        if self._early is not None:
            self.send(self._early)

    def look_after(self) -> None:
        """Answer if the device takes long; from another thread."""
        if self._early is not None and time.monotonic() - self._since > PATIENCE_S:
            self.send(self._early)

    def send(self, payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Answer, unless that was done or is not wanted."""
        if self._take():
            self._send(self.header.reply(len(payload)), payload, fds)

    def refuse(self, number: int) -> None:
        """Answer with an errno, likewise."""
        if self._take():
            self._send(self.header.error_reply(number))

    def _take(self) -> bool:
        with self._lock:
            is_due, self._is_due = self._is_due, False
            return is_due
