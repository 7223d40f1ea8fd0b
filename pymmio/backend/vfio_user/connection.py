"""Requests over one connection, while the device's own requests are answered.

Who asks reads its reply itself: no other thread has to be woken, which would cost more than
the rest of the round trip.  One thread more sleeps in epoll and serves the device while nobody
asks.  With a twin socket it has that socket for itself.  Without one, whoever asks takes the
socket out of the epoll set meanwhile (two system calls) and puts it back afterwards.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence

from pymmio import forks
from pymmio.backend.vfio_user.channel import Channel, Message
from pymmio.backend.vfio_user.messages import HEADER_SIZE, Header, command_name
from pymmio.backend.vfio_user.refusals import refused
from pymmio.errors import (
    Closed,
    DeviceGone,
    DeviceTimeout,
    ForkedObject,
    ProtocolError,
    PymmioError,
)

__all__ = ["Answer", "Connection"]

Answer = Callable[[Header, bytes], tuple[Header, bytes] | None]
"""Makes the reply to a request of the device; None where it wants none."""

_MAX_UNANSWERED = 256
_WHEN_GONE = "Close the device, or reconnect() when its server is back"
_MAX_LATE = 3
"""After so many requests in a row without a reply the server counts as gone."""
_WINDOW = 32
"""How many requests are under way at most: their replies must fit the socket's buffer."""
_JOIN_S = 5.0


class Connection:
    """A connection that was negotiated.  Safe for threads; requests are made one by one.

    ``on_lost`` is called, in a thread of the connection, when it turns out that the server is
    gone or talks nonsense; never because of :meth:`close`.
    """

    def __init__(
        self,
        name: str,
        main: Channel,
        twin: Channel | None,
        answer: Answer,
        *,
        timeout_s: float,
    ) -> None:
        """Take the channels over, also where this raises."""
        self.name = name
        self.timeout_s = timeout_s
        self.on_lost: Callable[[], None] | None = None
        self._main = main
        self._twin = twin
        self._answer = answer
        self._turn = threading.Lock()  # whose turn it is to ask
        self._gate = threading.Lock()
        self._callers: set[int] = set()  # threads
        self._last_id = 0
        self._unanswered: set[int] = set()  # numbers, of those who wait and who gave up
        self._late = 0
        self._why: PymmioError | None = None
        self._is_closed = False
        self._is_forked = False
        self._epoll: select.epoll | None = None
        self._wake = -1
        try:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._epoll = select.epoll(flags=select.EPOLL_CLOEXEC)
            self._epoll.register(self._wake, select.EPOLLIN)
            self._epoll.register(main.fileno(), 0 if twin else select.EPOLLIN)
            if twin is not None:
                self._epoll.register(twin.fileno(), select.EPOLLIN)
            self._thread = threading.Thread(target=self._serve, name=f"pymmio {name}", daemon=True)
            self._thread.start()
        except BaseException:
            self._release()
            raise
        forks.track(self)

    # --- asking --------------------------------------------------------------------------

    def ask(
        self,
        command: int,
        payload: bytes = b"",
        fds: Sequence[int] = (),
        *,
        what: str,
        timeout_s: float | None = None,
    ) -> Message:
        """Make a request and return the reply, whose descriptors the caller closes.

        Raises what an error reply means, with ``what`` was asked; DeviceTimeout, DeviceGone and
        ProtocolError.
        """
        message = self.request(command, payload, fds, timeout_s=timeout_s)
        if message.header.is_error:
            message.fds.close()
            raise refused(self.name, what, message.header.error)
        return message

    def request(
        self,
        command: int,
        payload: bytes = b"",
        fds: Sequence[int] = (),
        *,
        timeout_s: float | None = None,
    ) -> Message:
        """Make a request and return the reply, which may be an error.

        Raises DeviceTimeout if it did not come in time (one that comes later is dropped),
        DeviceGone and ProtocolError.
        """
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit_s
        held: list[bool] = []
        try:
            self._enter(command, limit_s, held)
            try:
                number = self._send(command, payload, fds, deadline)
                return self._collect({number: command}, deadline)[number]
            except (PymmioError, OSError) as error:
                raise self._failed(error, command, limit_s) from error
        finally:
            if held:
                self._turn.release()
            self._uncount()

    def pipeline(
        self, command: int, payloads: Sequence[bytes], *, timeout_s: float | None = None
    ) -> list[Message]:
        """Make several requests without waiting in between; return the replies in their order.

        All are made, also where one is answered with an error.  Raises as :meth:`request`.
        """
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit_s
        replies: list[Message] = []
        held: list[bool] = []
        try:
            self._enter(command, limit_s, held)
            try:
                for first in range(0, len(payloads), _WINDOW):
                    part = payloads[first : first + _WINDOW]
                    numbers = [self._send(command, payload, (), deadline) for payload in part]
                    found = self._collect(dict.fromkeys(numbers, command), deadline)
                    replies += [found[number] for number in numbers]
            except (PymmioError, OSError) as error:
                for message in replies:
                    message.fds.close()
                raise self._failed(error, command, limit_s) from error
        finally:
            if held:
                self._turn.release()
            self._uncount()
        return replies

    def _enter(self, command: int, limit_s: float, held: list[bool]) -> None:
        """Wait for the turn; keep the thread of the connection from the socket.

        ``held`` is not empty from the moment that the turn is ours, whatever a signal handler
        raises then: acquire puts its result there before it returns to Python.
        """
        self._require_open()
        if self._twin is None:
            with self._gate:
                self._callers.add(threading.get_ident())
                if len(self._callers) == 1:
                    self._watch(0)
        held.extend(filter(None, map(self._turn.acquire, (True,), (limit_s,))))
        if not held:
            raise DeviceTimeout(
                f"{self.name}: {command_name(command)} had to wait for other requests for "
                f"{limit_s:g} s"
            )
        if len(self._unanswered) > _MAX_UNANSWERED:
            self._lose(DeviceGone(f"{self.name}: {_MAX_UNANSWERED} requests were never answered"))
        self._require_open()

    def _uncount(self) -> None:
        if self._twin is None:
            with self._gate:
                self._callers.discard(threading.get_ident())
                if not self._callers:
                    self._watch(select.EPOLLIN)

    def _watch(self, events: int) -> None:
        if self._epoll is not None and self._why is None and not self._is_closed:
            self._epoll.modify(self._main.fileno(), events)

    def _send(self, command: int, payload: bytes, fds: Sequence[int], deadline: float) -> int:
        number = self._last_id
        while True:
            number = (number + 1) & 0xFFFF
            if number not in self._unanswered:
                break
        self._last_id = number
        header = Header(number, command, HEADER_SIZE + len(payload))
        self._unanswered.add(number)  # whatever happens from here on: it may have gone out
        self._main.send(header, payload, fds, timeout_s=deadline - time.monotonic())
        return number

    def _collect(self, wanted: dict[int, int], deadline: float) -> dict[int, Message]:
        """Receive until all of ``wanted`` (command by number) is there; serve the device."""
        found: dict[int, Message] = {}
        try:
            while wanted:
                left_s = deadline - time.monotonic()
                if left_s <= 0:  # also where the device asks without end
                    raise DeviceTimeout("the reply has not come in time")
                message = self._main.receive(left_s)
                if not message.header.is_reply:
                    self._serve_message(self._main, message, left_s)
                    continue
                number, command = message.header.message_id, message.header.command
                if wanted.get(number, command) != command:
                    message.fds.close()
                    raise ProtocolError(
                        f"a reply to {command_name(command)} number {number}, which was "
                        f"{command_name(wanted[number])}"
                    )
                self._take_back(message)
                if number in wanted:
                    self._late = 0
                    del wanted[number]
                    found[number] = message
                else:  # somebody gave it up
                    message.fds.close()
        except BaseException:
            for message in found.values():
                message.fds.close()
            raise
        return found

    def _take_back(self, message: Message) -> None:
        """Note that a request is answered; raise ProtocolError for one that was never made."""
        number = message.header.message_id
        if number not in self._unanswered:
            message.fds.close()
            raise ProtocolError(
                f"a reply to {command_name(message.header.command)} number {number}, which "
                "nobody asked for"
            )
        self._unanswered.discard(number)

    def _failed(self, error: Exception, command: int, limit_s: float) -> PymmioError:
        """Return what to raise after a request failed; note where the connection is lost."""
        what = f"{self.name}: {command_name(command)}"
        if isinstance(error, DeviceTimeout) and not self._main.is_broken:
            self._late += 1
            if self._late >= _MAX_LATE:
                seen = f"{self.name}: {self._late} requests in a row were not answered in time"
                self._lose(DeviceGone(seen, hint="Is the server stopped?"))
            return DeviceTimeout(
                f"{what}: no reply within {limit_s:g} s",
                hint="Is the server stopped, or busy? ?timeout= of the URI sets another limit",
            )
        text = error.message if isinstance(error, PymmioError) else str(error)
        kind = ProtocolError if isinstance(error, ProtocolError) else DeviceGone
        self._lose(DeviceGone(f"{self.name}: {text}", hint=_WHEN_GONE))
        if self._is_closed:
            return Closed(f"{self.name} is closed", hint="Open the device again")
        return kind(f"{what}: {text}", hint=_WHEN_GONE if kind is DeviceGone else None)

    # --- the device's requests -------------------------------------------------------------

    def _serve(self) -> None:
        """Serve the device while nobody asks; the thread of the connection."""
        assert self._epoll is not None
        try:
            while self._why is None and not self._is_closed:
                for fd, events in self._epoll.poll():
                    if fd != self._wake:
                        self._look(fd, events)
        except (PymmioError, OSError) as error:
            text = error.message if isinstance(error, PymmioError) else str(error)
            self._lose(DeviceGone(f"{self.name}: {text}", hint=_WHEN_GONE))
        if not self._is_closed and self.on_lost is not None:
            self.on_lost()

    def _look(self, fd: int, events: int) -> None:
        if self._twin is not None and fd == self._twin.fileno():
            self._serve_message(self._twin, self._twin.receive(self.timeout_s), self.timeout_s)
            return
        is_over = events & (select.EPOLLHUP | select.EPOLLERR)
        if not is_over and self._callers:
            return  # somebody asks, and serves meanwhile
        with self._turn:
            if self._why is None and not self._is_closed and (is_over or self._is_readable()):
                message = self._main.receive(self.timeout_s)
                if message.header.is_reply:
                    self._take_back(message)  # somebody gave it up
                    message.fds.close()
                else:
                    self._serve_message(self._main, message, self.timeout_s)

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self._main.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _serve_message(self, channel: Channel, message: Message, left_s: float) -> None:
        with message.fds:
            if message.header.is_reply:
                raise ProtocolError("a reply on the socket of the device's requests")
            reply = self._answer(message.header, message.payload)
        if reply is not None:
            channel.send(*reply, timeout_s=left_s)

    # --- the end -------------------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Whether the server is gone, as far as was noticed."""
        return self._why is not None

    def why_lost(self) -> PymmioError:
        """Return the exception for whoever uses the device afterwards; a new one each time."""
        why = self._why or DeviceGone(f"{self.name}: the connection is lost")
        return type(why)(why.message, hint=why.hint)

    def cut_off(self, why: str) -> None:
        """End the connection because of what the server did; everybody is told."""
        self._lose(DeviceGone(why, hint="Close the device, or reconnect()"))

    def give_up(self, why: str) -> None:
        """Count the server as gone, without telling anybody, and end the connection."""
        self.on_lost = None
        self._lose(DeviceGone(f"{self.name}: {why}"))
        self.close()

    def _lose(self, why: DeviceGone) -> None:
        """Note that the server is gone; the thread of the connection tells the device."""
        with self._gate:
            if self._why is None and not self._is_closed:
                self._why = why
                self._shut_down()

    def _shut_down(self) -> None:
        for channel in (self._main, self._twin):
            if channel is not None:
                channel.shut_down()
        os.eventfd_write(self._wake, 1)

    def _require_open(self) -> None:
        if self._is_forked:
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device after fork"
            )
        if self._why is not None:
            raise self.why_lost()
        if self._is_closed:
            raise Closed(f"{self.name} is closed", hint="Open the device again")

    def close(self) -> None:
        """End the connection; who waits for a reply raises Closed.  Closing twice is fine."""
        with self._gate:
            if self._is_closed or self._is_forked:
                return
            self._is_closed = True
            self._shut_down()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)
        with self._turn:  # whoever asked has left the sockets
            self._release()

    def _release(self) -> None:
        self._main.close()
        if self._twin is not None:
            self._twin.close()
        if self._epoll is not None:
            self._epoll.close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _after_fork(self) -> None:
        self._is_forked = True
        self._turn = threading.Lock()
        self._gate = threading.Lock()
