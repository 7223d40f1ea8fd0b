"""The qtest protocol: one line a command, one line a reply, in order.

``readl ADDRESS`` is answered by ``OK 0x…``, ``writel ADDRESS VALUE`` by ``OK``; lines
``IRQ raise N`` and ``IRQ lower N`` come at any time.  Source: QEMU, softmmu/qtest.c (system/qtest.c
since 8.2), comment "QTest Protocol".
"""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from pymmio import forks
from pymmio.errors import (
    Closed,
    DeviceGone,
    DeviceTimeout,
    ForkedObject,
    ProtocolError,
    PymmioError,
)

__all__ = ["MAX_IN_FLIGHT", "QtestChannel"]

MAX_IN_FLIGHT = 64
"""Commands without an answer.  Far below what fills a socket: neither side ever blocks in send."""

_AT_ONCE = MAX_IN_FLIGHT // 2
_MAX_LINE = 256
_RECEIVE_BYTES = 65536
_SUFFIX = {1: "b", 2: "w", 4: "l", 8: "q"}
_VALUE = re.compile(rb"OK 0x([0-9a-fA-F]{1,16})")
_LINE = re.compile(rb"IRQ (raise|lower) ([0-9]{1,5})")


class _Reply:
    """The answer to a command that somebody waits for; ``width`` in bytes, 0: no value."""

    __slots__ = ("is_there", "value", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.value = 0
        self.is_there = False


class QtestChannel:
    """A connection to QEMU.  Writes are posted; reads wait for all that was sent before.

    ``on_line`` is called with the number and level of an interrupt line, in whatever thread
    reads the socket; it must not use the channel.  ``lost`` makes the exception for a connection
    that has ended, from what was seen.  Safe for threads.  Takes the socket over.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        timeout_s: float,
        lost: Callable[[str], PymmioError] = DeviceGone,
        on_line: Callable[[int, bool], None] = lambda line, level: None,
    ) -> None:
        self.timeout_s = timeout_s
        self.on_line = on_line
        self._socket = connection
        self._lost = lost
        self._lock = threading.RLock()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._input = b""
        self._pending: deque[_Reply | None] = deque()
        self._refusal: Callable[[], PymmioError] | None = None
        self._is_between = False
        forks.track(self)

    # --- accesses ------------------------------------------------------------------------

    def read(self, address: int, width: int) -> int:
        """Read ``width`` (1, 2, 4, 8) bytes of memory space as a little-endian number."""
        return self._ask(f"read{_SUFFIX[width]} {address:#x}\n", width)

    def write(self, address: int, width: int, value: int) -> None:
        """Send a write to memory space; does not wait until it is made."""
        self._post(f"write{_SUFFIX[width]} {address:#x} {value:#x}\n")

    def read_many(self, addresses: Sequence[int], width: int, *, is_io: bool = False) -> list[int]:
        """Make reads in this order, many under way at once."""
        verb = "in" if is_io else "read"
        commands = [f"{verb}{_SUFFIX[width]} {address:#x}\n" for address in addresses]
        return [reply.value for reply in self._ask_many(commands, width)]

    def write_many(
        self, writes: Sequence[tuple[int, int]], width: int, *, is_io: bool = False
    ) -> None:
        """Send writes, (address, value) each, in this order; does not wait until they are made."""
        verb = "out" if is_io else "write"
        for start in range(0, len(writes), _AT_ONCE):
            part = writes[start : start + _AT_ONCE]
            commands = (f"{verb}{_SUFFIX[width]} {at:#x} {value:#x}\n" for at, value in part)
            self._post("".join(commands), len(part))

    def read_bytes(self, address: int, size: int) -> bytes:
        """Read 1 to 8 bytes, which QEMU cuts into accesses as it does for DMA."""
        value = self._ask(f"read {address:#x} {size:#x}\n", size)
        return value.to_bytes(size, "big")  # the digits are in the order of the bytes

    def write_bytes(self, address: int, data: bytes) -> None:
        """Send a write of 1 to 8 bytes, likewise."""
        self._post(f"write {address:#x} {len(data):#x} 0x{data.hex()}\n")

    def read_port(self, port: int, width: int) -> int:
        """Read ``width`` (1, 2, 4) bytes of I/O space."""
        return self._ask(f"in{_SUFFIX[width]} {port:#x}\n", width)

    def write_port(self, port: int, width: int, value: int) -> None:
        """Send a write to I/O space; does not wait until it is made."""
        self._post(f"out{_SUFFIX[width]} {port:#x} {value:#x}\n")

    def read_indexed(self, index_port: int, index: int, port: int, width: int) -> int:
        """Write ``index`` to a port and read another; no thread comes in between."""
        select_index = f"outl {index_port:#x} {index:#x}\n"
        return self._ask(f"in{_SUFFIX[width]} {port:#x}\n", width, before=select_index)

    def write_indexed(self, index_port: int, index: int, port: int, width: int, value: int) -> None:
        """Write ``index`` to a port and ``value`` to another, as one posted write."""
        command = f"outl {index_port:#x} {index:#x}\nout{_SUFFIX[width]} {port:#x} {value:#x}\n"
        self._post(command, 2)

    def lost(self, seen: str) -> PymmioError:
        """Return the exception for a QEMU that is lost, as whoever uses it noticed."""
        return self._lost(seen)

    def intercept_lines_of(self, device: str) -> None:
        """Have QEMU report the interrupt lines into a device, instead of raising them."""
        self._ask(f"irq_intercept_in {device}\n", 0)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let the commands of other threads wait during the block."""
        with self._lock:
            yield

    def settle(self) -> None:
        """Wait until all that was posted has been done."""
        with self._lock:
            self._require_usable()
            deadline = time.monotonic() + self.timeout_s
            self._receive_until(lambda: not self._pending, deadline, "writes")

    def take_lines(self) -> None:
        """Handle what has arrived by itself; does not wait for more."""
        with self._lock:
            self._require_usable()
            self._take()

    def fileno(self) -> int:
        """Return the socket, readable when :meth:`take_lines` may have something to do."""
        return self._socket.fileno()

    @property
    def in_flight(self) -> int:
        """How many commands have no answer yet."""
        return len(self._pending)

    # --- life ----------------------------------------------------------------------------

    def expect_end(self) -> None:
        """Have the end of the connection raise Closed from now on: it is wanted."""
        self._lost = lambda seen: _closed()

    def close(self) -> None:
        """End the connection; calling twice is fine.  Later use raises Closed."""
        with self._lock:
            self._refusal = _closed
            self._socket.close()

    def _after_fork(self) -> None:
        """The connection is the parent's; closing the child's copy tells QEMU nothing."""
        self._lock = threading.RLock()
        self._refusal = _forked
        self._socket.close()

    # --- sending -------------------------------------------------------------------------

    def _ask(self, command: str, width: int, *, before: str = "") -> int:
        reply = _Reply(width)
        with self._lock:
            deadline = time.monotonic() + self.timeout_s
            self._send(before + command, (None, reply) if before else (reply,), deadline)
            self._receive_until(lambda: reply.is_there, deadline, command.strip())
        return reply.value

    def _ask_many(self, commands: Sequence[str], width: int) -> list[_Reply]:
        replies = [_Reply(width) for _ in commands]
        with self._lock:
            for start in range(0, len(commands), _AT_ONCE):
                part = replies[start : start + _AT_ONCE]
                deadline = time.monotonic() + self.timeout_s
                self._send("".join(commands[start : start + _AT_ONCE]), tuple(part), deadline)
                self._receive_until(lambda last=part[-1]: last.is_there, deadline, "reads")  # type: ignore[misc]
        return replies

    def _post(self, command: str, count: int = 1) -> None:
        with self._lock:
            self._send(command, (None,) * count, time.monotonic() + self.timeout_s)

    def _send(self, command: str, replies: tuple[_Reply | None, ...], deadline: float) -> None:
        self._require_usable()
        if len(self._pending) + len(replies) > MAX_IN_FLIGHT:
            half = MAX_IN_FLIGHT // 2
            self._receive_until(lambda: len(self._pending) <= half, deadline, "writes")
        self._is_between = True  # an exception of a signal handler may come from here on
        try:
            # Never partial: what is in flight fits the buffer of the socket many times.
            self._socket.sendall(command.encode("ascii"))
        except OSError as error:
            self._is_between = False
            self._end(error)
        self._pending.extend(replies)
        self._is_between = False

    # --- receiving -----------------------------------------------------------------------

    def _receive_until(self, is_done: Callable[[], bool], deadline: float, what: str) -> None:
        while not is_done():
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self._poll.poll(max(1, left_s * 1000)):
                raise DeviceTimeout(
                    f"QEMU has not answered {what!r} within {self.timeout_s:g} s",
                    hint="Its device model may wait for the host's disk; timeout= allows it more",
                )
            self._take()

    def _take(self) -> None:
        """Receive once, without waiting, and handle all whole lines."""
        self._is_between = True
        try:
            data = self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._is_between = False
            return
        except OSError as error:
            self._is_between = False
            self._end(error)
        if not data:
            self._is_between = False
            self._end(None)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            self._handle(line)
        if len(self._input) > _MAX_LINE:
            self._refuse("a line without an end", self._input)
        self._is_between = False

    def _handle(self, line: bytes) -> None:
        if found := _LINE.fullmatch(line):
            self.on_line(int(found[2]), found[1] == b"raise")
            return
        if not self._pending:
            self._refuse("an answer that nobody asked for", line)
        reply = self._pending.popleft()
        if reply is None or reply.width == 0:
            if line != b"OK":
                self._refuse("a wrong answer to a write", line)
        else:
            value = _VALUE.fullmatch(line)
            if value is None or int(value[1], 16) >> 8 * reply.width:
                self._refuse(f"a wrong answer to a read of {reply.width} bytes", line)
                return
            reply.value = int(value[1], 16)
        if reply is not None:
            reply.is_there = True

    # --- what cannot go on ---------------------------------------------------------------

    def _require_usable(self) -> None:
        if self._refusal is not None:
            raise self._refusal()
        if self._is_between:
            raise DeviceGone(
                "the connection to QEMU was interrupted in the middle of a command",
                hint="Close the device and open it again",
            )

    def _refuse(self, what: str, seen: bytes) -> None:
        text = f"QEMU said {what}: {seen[:80]!r}"

        def refusal() -> ProtocolError:
            return ProtocolError(text, hint="Close the device and open it again")

        self._refusal = refusal
        raise refusal()

    def _end(self, error: OSError | None) -> None:
        seen = "the connection has ended" if error is None else f"the connection: {error.strerror}"
        lost = self._lost
        self._refusal = lambda: lost(seen)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        raise self._refusal() from error


def _closed() -> PymmioError:
    return Closed("the connection to QEMU is closed", hint="Open the device again")


def _forked() -> PymmioError:
    return ForkedObject(
        "the connection to QEMU belongs to the parent process", hint="Open the device after fork"
    )
