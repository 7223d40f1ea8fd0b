"""An ivshmem server: gives each peer the memory, an id, and the doorbells of the others.

Peers are QEMU's ivshmem-doorbell devices and pymmio's model of it.
Source: QEMU, docs/specs/ivshmem-spec.rst.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pymmio.errors import BadArgument, DeviceBusy
from pymmio.models.ivshmem.protocol import MEMORY, VERSION, send
from pymmio.owner import Owner

__all__ = ["IvshmemServer"]

_MAX_PEERS = 65536
_SEND_TIMEOUT_S = 1.0


@dataclass(slots=True)
class _Peer:
    id: int
    connection: socket.socket
    doorbells: list[int] = field(default_factory=list)

    def close(self) -> None:
        self.connection.close()
        for fd in self.doorbells:
            os.close(fd)


class IvshmemServer(Owner):
    """Serves ``size`` bytes of new memory on a socket, from a thread, until it is closed.

    ``size`` is a power of two, in bytes; each peer has ``vectors`` doorbells.
    """

    def __init__(self, path: str | os.PathLike[str], *, size: int, vectors: int = 1) -> None:
        """Raises BadArgument, DeviceBusy where something is at ``path`` already."""
        if size < 4096 or size & (size - 1) or not 1 <= vectors <= 64:
            raise BadArgument(
                f"shared memory of {size} bytes, {vectors} vectors",
                hint="A power of two of a page at least, and 1 to 64 vectors",
            )
        self.path = Path(path)
        self.size = size
        self.vectors = vectors
        self._peers: dict[int, _Peer] = {}
        self._next = 0
        with ExitStack() as undo:
            self.memory_fd = os.memfd_create("ivshmem", os.MFD_CLOEXEC)
            undo.callback(os.close, self.memory_fd)
            os.ftruncate(self.memory_fd, size)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            undo.callback(self._listener.close)
            try:
                self._listener.bind(os.fspath(path))
            except OSError as error:
                raise DeviceBusy(
                    f"{path}: {error.strerror}", hint="Choose another path, or remove the socket"
                ) from error
            undo.callback(self.path.unlink, missing_ok=True)
            self._listener.listen()
            self._wake = os.eventfd(0, os.EFD_CLOEXEC)
            undo.callback(os.close, self._wake)
            self._selector = undo.enter_context(selectors.DefaultSelector())
            self._selector.register(self._wake, selectors.EVENT_READ)
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._undo = undo.pop_all()
        self._thread = threading.Thread(target=self._run, name="ivshmem server", daemon=True)
        self._thread.start()

    @property
    def peers(self) -> list[int]:
        """The ids of the peers that are connected."""
        return sorted(self._peers)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._wake:
                    return
                if key.fileobj is self._listener:
                    self._welcome()
                else:
                    self._look(key.data)

    def _welcome(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_SEND_TIMEOUT_S)
        if len(self._peers) >= _MAX_PEERS:
            connection.close()
            return
        while self._next in self._peers:
            self._next = (self._next + 1) % _MAX_PEERS
        peer = _Peer(self._next, connection)
        self._next = (self._next + 1) % _MAX_PEERS
        try:
            for _ in range(self.vectors):
                peer.doorbells.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
            self._introduce(peer)
        except OSError:  # it went away, or descriptors ran out
            peer.close()
            return
        self._peers[peer.id] = peer
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _introduce(self, peer: _Peer) -> None:
        send(peer.connection, VERSION)
        send(peer.connection, peer.id)
        send(peer.connection, MEMORY, self.memory_fd)
        for other in self._peers.values():
            for fd in other.doorbells:
                send(peer.connection, other.id, fd)
            with contextlib.suppress(OSError):  # it is about to be noticed
                for fd in peer.doorbells:
                    send(other.connection, peer.id, fd)
        for fd in peer.doorbells:
            send(peer.connection, peer.id, fd)

    def _look(self, peer: _Peer) -> None:
        """A client has nothing to say: whatever it sends, or its end, is its departure."""
        with contextlib.suppress(OSError):
            peer.connection.recv(1)
        self._selector.unregister(peer.connection)
        peer.close()
        del self._peers[peer.id]
        for other in self._peers.values():
            with contextlib.suppress(OSError):
                send(other.connection, peer.id)

    def close(self) -> None:
        """Disconnect all and remove the socket; closing twice is fine."""
        if self._thread is not None and self._thread.is_alive():
            os.eventfd_write(self._wake, 1)
            self._thread.join(5.0)
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()
        self._undo.close()
