"""A model on a socket: clients one after the other, until it is closed."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from pymmio.backend.model import DeviceModel
from pymmio.backend.vfio_user.channel import Channel
from pymmio.backend.vfio_user.messages import MAX_VERSION_SIZE
from pymmio.backend.vfio_user.server.device import VfioUserDevice
from pymmio.backend.vfio_user.server.place import SocketPlace
from pymmio.backend.vfio_user.server.session import Session
from pymmio.errors import PymmioError
from pymmio.owner import Owner

__all__ = ["Server", "serve"]

_GRACE_S = 1.0
"""How long a second client waits for the first to go before it is refused, in seconds."""
_REFUSED_S = 1.0
_LOOK_S = 0.5
_CLOSE_S = 10.0


def report_on_stderr(text: str) -> None:
    """Print a problem that no client can be told of."""
    print(f"pymmio serve: {text}", file=sys.stderr, flush=True)


def serve(
    model: DeviceModel,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    report: Callable[[str], None] = report_on_stderr,
) -> Server:
    """Serve ``model`` at the socket ``path`` in threads of this process; a context manager.

    It listens when this returns.  The model is closed with the server, also where this raises:
    what :class:`SocketPlace` raises.  ``name`` is for messages, ``report`` gets problems that
    no client can be told of, such as an exception of the model.
    """
    return Server(model, Path(path), name or type(model).__name__.lower(), report)


class Server(Owner):
    """Serves one model to one client at a time.

    Each client finds the device as after power-on; what is stored, such as the blocks of a
    disk, stays.  A second client waits a second for the first to go and is refused with EBUSY
    then.  ``lock`` is held while the model works: hold it to look at the model.
    """

    def __init__(
        self, model: DeviceModel, path: Path, name: str, report: Callable[[str], None]
    ) -> None:
        self.model = model
        self.path = path
        self.name = name
        self._report = report
        self._is_closed = False
        self._session: Session | None = None
        self._threads: list[threading.Thread] = []
        self._gone = threading.Event()
        self._gone.set()
        with ExitStack() as undo:
            undo.callback(model.close)
            place = SocketPlace(path)
            undo.callback(place.close)
            undo.pop_all()  # the device closes the model from now on
            try:
                self._device = VfioUserDevice(model, name)
            except BaseException:
                place.close()
                raise
        self._place = place
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.lock = self._device.lock
        self._listener = threading.Thread(
            target=self._listen, name=f"pymmio-serve-{name}", daemon=True
        )
        self._listener.start()

    @property
    def uri(self) -> str:
        """The device URI under which a client of this machine opens the model."""
        return f"vfio-user:{self.path}"

    def close(self) -> None:
        """Send the client away, remove the socket, close the model.  Again is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        with ExitStack() as undo:
            undo.callback(os.close, self._wake_fd)
            undo.callback(self._device.free)
            undo.callback(self._place.close)
            os.eventfd_write(self._wake_fd, 1)
            self._send_away()
            self._listener.join(_CLOSE_S)
            self._send_away()  # it may have admitted one more
            self._gone.wait(_CLOSE_S)

    def _send_away(self) -> None:
        session = self._session
        if session is not None:
            session.channel.shut_down()

    # --- the thread that listens -----------------------------------------------------------------

    def _listen(self) -> None:
        pause, poll = select.poll(), select.poll()
        pause.register(self._wake_fd, select.POLLIN)
        poll.register(self._wake_fd, select.POLLIN)
        poll.register(self._place.socket, select.POLLIN)
        while True:
            is_busy = not self._gone.is_set()
            ready = {fd for fd, _ in poll.poll(_LOOK_S * 1000 if is_busy else None)}
            if self._wake_fd in ready:
                return
            session = self._session
            if session is not None:
                session.look_after()
            if ready:
                try:
                    connection, _ = self._place.socket.accept()
                except OSError as error:  # it was gone again, or too many files are open
                    self._report(f"{self.path}: a client was lost: {error.strerror}")
                    pause.poll(_GRACE_S * 1000)
                    continue
                self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        """Serve a client in a thread of its own, or refuse it while another is there."""
        if not self._gone.wait(_GRACE_S):
            _refuse(connection)
            return
        try:
            session = Session(self._device, connection, report=self._report, wake_fd=self._wake_fd)
        except Exception as error:
            connection.close()
            self._report(f"{self.path}: a client cannot be served: {error}")
            return
        self._session = session
        self._gone.clear()
        threading.Thread(
            target=self._run, args=(session,), name=f"pymmio-client-{self.name}", daemon=True
        ).start()

    def _run(self, session: Session) -> None:
        try:
            session.run()
        finally:
            self._session = None
            try:
                session.close()
            finally:
                self._gone.set()


def _refuse(connection: socket.socket) -> None:
    """Tell a client that somebody else has the device, if it asks soon."""
    channel = Channel(connection, max_payload=MAX_VERSION_SIZE)
    try:
        with suppress(PymmioError):
            message = channel.receive(_REFUSED_S)
            with message.fds:
                if message.header.wants_reply:
                    channel.send(message.header.error_reply(errno.EBUSY), timeout_s=_REFUSED_S)
    finally:
        channel.close()
