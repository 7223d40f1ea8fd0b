"""One client's connection: commands in, answers out, doorbells in between."""

from __future__ import annotations

import errno
import select
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from pymmio.backend.served import SharedDoorbells, mappable_doorbells
from pymmio.backend.vfio_user.channel import MAX_FDS, Channel, Message
from pymmio.backend.vfio_user.messages import (
    MAJOR,
    MAX_MINOR,
    MAX_VERSION_SIZE,
    Capabilities,
    Command,
    Header,
    TwinSocket,
    Version,
    command_name,
)
from pymmio.backend.vfio_user.server.answer import Answer
from pymmio.backend.vfio_user.server.commands import COMMANDS, MAX_DATA, accept_write
from pymmio.backend.vfio_user.server.device import VfioUserDevice
from pymmio.backend.vfio_user.server.irqs import ClientIrqs
from pymmio.backend.vfio_user.server.memory import MAX_MAPS, ClientMemory
from pymmio.backend.vfio_user.server.messenger import DmaMessenger
from pymmio.backend.vfio_user.server.refusal import Refusal
from pymmio.errors import AccessFault, DeviceGone, DeviceTimeout, ProtocolError

__all__ = ["Session"]

_OVERHEAD = 4096  # fixed parts of messages, and the writes of a REGION_WRITE_MULTI
_LEAST_FDS = 16  # QEMU 11.1, which proposes 16, calls a larger number malformed
_VERSION_S = 5.0
_MESSAGE_S = 5.0
"""How long a message may take from its first byte to its last, in either direction."""
# How to wait for the next doorbell: after one, and after a message, which the socket tells of:
# looking all the time for so long, then between pauses of these lengths (in seconds).
_AFTER_DOORBELL = (50e-6, (5e-6, 1e-3))
_AFTER_MESSAGE = (0.0, (50e-6, 1e-3))
_IDLE_S = 60.0


class Session:
    """A client that is connected.  Owns the connection and everything that came through it."""

    def __init__(
        self,
        device: VfioUserDevice,
        connection: socket.socket,
        *,
        report: Callable[[str], None],
        wake_fd: int,
    ) -> None:
        """``wake_fd`` becomes readable when the session shall end."""
        self.device = device
        self.report = report
        self._wake_fd = wake_fd
        self._send_lock = threading.Lock()
        self._answer: Answer | None = None
        with ExitStack() as undo:
            self.channel = Channel(connection, max_payload=MAX_DATA + _OVERHEAD)
            undo.callback(self.channel.close)
            self._dma_channel = self.channel
            self.messenger = self._make_messenger(MAX_DATA)
            self.memory = ClientMemory(self)
            undo.callback(self.memory.take_back_all)
            self.irqs = ClientIrqs(device.irq)
            undo.callback(self.irqs.close)
            self.doorbells = SharedDoorbells(
                device.name, device.model, mappable_doorbells(device.model)
            )
            undo.callback(self.doorbells.close)
            self.are_doorbells_shared = False
            self._was_doorbell = False
            self._watch()
            self._undo = undo.pop_all()

    # --- life ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve the client until it goes, breaks the protocol, or the session is woken to end."""
        try:
            with self.device.lock:
                self.device.reset_function()
                self.device.client_memory = self.memory
            self._agree()
            self._serve()
        except DeviceGone:
            return
        except (ProtocolError, DeviceTimeout) as error:
            self.report(f"client dropped: {error.message}")
        except Exception:
            self.report(f"client dropped:\n{traceback.format_exc()}")

    def close(self) -> None:
        """Release everything that the client gave."""
        with self.device.lock:
            self.device.client_memory = None
            self.messenger.close()
            self._undo.close()

    def look_after(self) -> None:
        """Answer a write that keeps the device busy; called now and then by another thread."""
        self.device.irq.free_writer()
        answer = self._answer
        if answer is not None:
            try:
                answer.look_after()
            except (DeviceGone, DeviceTimeout):
                self.channel.shut_down()

    # --- the beginning ------------------------------------------------------------------------

    def _agree(self) -> None:
        """Take the client's VERSION and answer it.  Raises ProtocolError for anything else."""
        message = self.channel.receive(_VERSION_S)
        with message.fds:
            header = message.header
            if header.command != Command.VERSION or not header.wants_reply:
                raise ProtocolError(f"the first message is {command_name(header.command)}")
            if len(message.payload) > MAX_VERSION_SIZE:
                raise ProtocolError(f"VERSION with {len(message.payload)} bytes")
            proposed = Version.parse(message.payload)
        if proposed.major != MAJOR:
            self.send(header.error_reply(errno.EPROTONOSUPPORT))
            raise ProtocolError(f"version {proposed.major}.{proposed.minor} was proposed")
        offered = proposed.capabilities
        largest = min(MAX_DATA, offered.max_data_xfer_size)
        self.messenger = self._make_messenger(largest)
        fds: list[int] = []
        with ExitStack() as undo:
            if offered.twin_socket.supported:
                ours, theirs = socket.socketpair()
                undo.callback(theirs.close)
                self._dma_channel = Channel(ours, max_payload=MAX_DATA + _OVERHEAD, max_fds=0)
                self._undo.callback(self._dma_channel.close)
                self.messenger = self._make_messenger(largest)
                fds = [theirs.fileno()]
            answer = Version(
                MAJOR,
                min(proposed.minor, MAX_MINOR),
                Capabilities(
                    max_msg_fds=max(_LEAST_FDS, min(offered.max_msg_fds, MAX_FDS)),
                    max_data_xfer_size=MAX_DATA,
                    max_dma_maps=MAX_MAPS,
                    twin_socket=TwinSocket(True, 0) if fds else TwinSocket(),
                    write_multiple=offered.write_multiple,
                ),
            ).pack()
            self.send(header.reply(len(answer)), answer, fds)

    def _make_messenger(self, largest: int) -> DmaMessenger:
        return DmaMessenger(
            self._dma_channel,
            self._send_dma,
            largest=largest,
            before=self._before_dma,
            acknowledge=self._acknowledge,
        )

    # --- the loop ------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Do what the client and its doorbells ask for, until the session is woken to end."""
        while True:
            received = self.messenger.received
            ready = [] if self.messenger.queued else self._wait()
            if self._wake_fd in ready:
                return
            with self.device.lock:
                if self.irqs.unmask_fd in ready:
                    self.irqs.unmask_by_eventfd()
                self._ring()
                if self.messenger.queued:
                    self._handle(*self.messenger.queued.popleft())
                elif self.channel.is_broken:
                    return
                elif self.channel.fileno() in ready and received == self.messenger.received:
                    self._handle(self.channel.receive(_MESSAGE_S))

    def _wait(self) -> list[int]:
        """Wait until there is something to do; return the descriptors that can be read."""
        if self._unmask_fd != self.irqs.unmask_fd:
            self._watch()
        if self.are_doorbells_shared:
            spin_s, pauses_s = _AFTER_DOORBELL if self._was_doorbell else _AFTER_MESSAGE
            return self.doorbells.wait(
                self._watched, spin_s=spin_s, pauses_s=pauses_s, timeout_s=_IDLE_S
            )
        return [fd for fd, _ in self._poll.poll(_IDLE_S * 1000)]

    def _watch(self) -> None:
        """Look at what can be read from now on."""
        self._unmask_fd = self.irqs.unmask_fd
        self._watched = [self._wake_fd, self.channel.fileno()]
        if self._unmask_fd >= 0:
            self._watched.append(self._unmask_fd)
        self._poll = select.poll()
        for fd in self._watched:
            self._poll.register(fd, select.POLLIN)

    def _ring(self) -> None:
        """Hand doorbells that were rung in shared memory to the model, oldest state first."""
        if not self.are_doorbells_shared:
            return
        rung = self.doorbells.take()
        self._was_doorbell = bool(rung)
        for bar, offset, value in rung:
            self.messenger.start_budget()
            try:
                self.device.bar_write(bar, offset, 4, value)
            except AccessFault:
                continue  # the function does not decode: the write is lost as on PCI
            except Exception:
                self._report_model(f"a doorbell at {offset:#x} of BAR{bar}")

    def _handle(self, message: Message, answer: Answer | None = None) -> None:
        """Handle a message; ``answer`` is there where it was acknowledged before."""
        header = message.header
        with message.fds:
            if header.is_reply:
                self.messenger.drop_late(header)
                return
            answer = self._answer = answer or Answer(header, self.send)
            self.messenger.start_budget()
            try:
                number = self._obey(message, answer)
                if number:
                    message.fds.close()
                    answer.refuse(number)
            finally:
                self._answer = None

    def _obey(self, message: Message, answer: Answer) -> int:
        """Do what a command says; return the errno to answer with, 0 if it was answered."""
        command = message.header.command
        try:
            COMMANDS.get(command, _unknown)(self, message, answer)
        except Refusal as refusal:
            return refusal.number
        except ProtocolError:
            return errno.EINVAL
        except AccessFault:
            return errno.EIO
        except (DeviceGone, DeviceTimeout):
            raise
        except Exception:
            self._report_model(command_name(command))
            return errno.EIO
        return 0

    def _report_model(self, what: str) -> None:
        self.report(f"{self.device.name}: {what} failed:\n{traceback.format_exc()}")

    # --- messages of this side -----------------------------------------------------------------

    def send(self, header: Header, payload: bytes = b"", fds: Sequence[int] = ()) -> None:
        """Send a message to the client; from any thread."""
        with self._send_lock:
            self.channel.send(header, payload, fds, timeout_s=_MESSAGE_S)

    def _send_dma(self, header: Header, payload: bytes) -> None:
        if self._dma_channel is self.channel:
            self.send(header, payload)
        else:
            self._dma_channel.send(header, payload, timeout_s=_MESSAGE_S)

    def _before_dma(self) -> None:
        """Answer a write before the client is asked for memory: it might wait for that first."""
        if self._answer is not None:
            self._answer.send_early()

    def _acknowledge(self, message: Message) -> Answer | None:
        """Answer a write that comes while the client is asked for memory, for the same reason."""
        if message.header.command != Command.REGION_WRITE:
            return None
        answer = Answer(message.header, self.send)
        with suppress(Refusal, ProtocolError, AccessFault):  # told when its turn comes
            accept_write(self, message, answer)
            answer.send_early()
            return answer
        return None

    def dma_read(self, address: int, size: int) -> bytes:
        """Read the client's memory by message.  Raises IommuFault."""
        return self.messenger.dma_read(address, size)

    def dma_write(self, address: int, data: memoryview) -> None:
        """Write it likewise."""
        self.messenger.dma_write(address, data)


def _unknown(session: Session, message: Message, answer: Answer) -> None:
    raise Refusal(errno.EOPNOTSUPP, command_name(message.header.command))
