"""The ivshmem device: memory that several machines share, and doorbells between them.

Source: QEMU, docs/specs/ivshmem-spec.rst ("The ivshmem device", revision 1).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack

from pymmio.backend.model import BarSpec, DeviceModel, ModelHost
from pymmio.errors import DeviceNotFound, ProtocolError, UriError
from pymmio.handle import IrqKind
from pymmio.models.ivshmem.protocol import MEMORY, VERSION, BadServer, receive
from pymmio.models.options import as_int, as_size, refuse_unknown

__all__ = ["IvshmemModel"]

_INTR_MASK, _INTR_STATUS, _IV_POSITION, _DOORBELL = 0, 4, 8, 12
_REGISTERS, _TABLE, _MEMORY = 0, 1, 2
_JOIN_TIMEOUT_S = 5.0


class IvshmemModel(DeviceModel):
    """Plain with ``file`` (or memory of its own), with doorbells where ``server`` names a socket.

    ``vectors`` is how many interrupts the device has; the server decides how many of them its
    peers can ring.
    """

    vendor_id = 0x1AF4
    device_id = 0x1110
    subsystem_vendor_id = 0x1AF4
    subsystem_id = 0x1100
    revision_id = 1
    class_code = 0x050000
    is_pcie = False

    def __init__(
        self,
        *,
        size: str | int = "4M",
        file: str | None = None,
        server: str | None = None,
        vectors: str | int = 1,
        **unknown: str,
    ) -> None:
        refuse_unknown("ivshmem", unknown, ("file", "server", "size", "vectors"))
        if file is not None and server is not None:
            raise UriError("ivshmem: file= and server= together", hint="The server has the memory")
        self.position = 0
        self._doorbells: dict[int, list[int]] = {}
        self._lock = threading.Lock()
        self._undo = ExitStack()
        self._connection: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._mask = self._status = 0
        with ExitStack() as undo:
            undo.callback(self._undo.close)
            if server is not None:
                self.msix_vectors = as_int("vectors", vectors, low=1, high=64)
                self.msix_bar = _TABLE
                memory = self._join(server)
            else:
                memory = self._open(file, as_size("size", size))
            length = os.fstat(memory).st_size
            if length < 4096 or length & (length - 1):
                raise UriError(f"ivshmem: {length} bytes are no power of two of a page at least")
            undo.pop_all()
        self.size = length
        self.bars = (
            BarSpec(_REGISTERS, 256, is_64bit=False),
            *([BarSpec(_TABLE, 4096, is_64bit=False)] if self.msix_vectors else []),
            BarSpec(_MEMORY, length, prefetchable=True, ram=True, memory_fd=memory),
        )

    def _open(self, file: str | None, size: int) -> int:
        if file is None:
            fd = os.memfd_create("ivshmem", os.MFD_CLOEXEC)
        else:
            fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._undo.callback(os.close, fd)
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        return fd

    # --- the server --------------------------------------------------------------------------

    def _join(self, path: str) -> int:
        """Connect and take what the server says until the own doorbells are there."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._undo.callback(connection.close)
        connection.settimeout(_JOIN_TIMEOUT_S)
        try:
            connection.connect(path)
        except OSError as error:
            raise DeviceNotFound(
                f"ivshmem: no server at {path}: {error.strerror}", hint="Start the server first"
            ) from error
        self._connection = connection
        try:
            version = self._expect(connection)
            if version != (VERSION, None):
                raise BadServer(f"version {version[0]}")
            self.position, _ = self._expect(connection)
            number, memory = self._expect(connection)
            if number != MEMORY or memory is None:
                raise BadServer(f"{number} in place of the memory")
            self._undo.callback(os.close, memory)
            self._undo.callback(self._forget_all)
            while len(self._doorbells.get(self.position, ())) < self.msix_vectors:
                self._take(*self._expect(connection))
                if self._has_fewer(connection):
                    break
        except (BadServer, OSError) as error:
            raise ProtocolError(
                f"ivshmem: the server at {path} broke the protocol: {error}",
                hint="Is it an ivshmem server, of protocol version 0?",
            ) from error
        return memory

    def _has_fewer(self, connection: socket.socket) -> bool:
        """Whether the server gave the own doorbells, fewer than this device has, and is silent."""
        if not self._doorbells.get(self.position):
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            return not selector.select(0.05)

    def _expect(self, connection: socket.socket) -> tuple[int, int | None]:
        got = receive(connection)
        if got is None:
            raise BadServer("it hung up")
        return got

    def _take(self, peer: int, fd: int | None) -> None:
        """A peer's next doorbell, or (no descriptor) its departure."""
        with self._lock:
            if fd is None:
                for old in self._doorbells.pop(peer, []):
                    os.close(old)
            else:
                self._doorbells.setdefault(peer, []).append(fd)

    def _forget_all(self) -> None:
        with self._lock:
            for fds in self._doorbells.values():
                for fd in fds:
                    os.close(fd)
            self._doorbells.clear()

    def attach(self, host: ModelHost) -> None:
        """Listen to the own doorbells from now on, and to the server."""
        super().attach(host)
        if self._connection is None:
            return
        stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._stop = stop
        self._thread = threading.Thread(
            target=self._listen, args=(self._connection, stop), name="ivshmem", daemon=True
        )
        self._thread.start()

    def _listen(self, connection: socket.socket, stop: int) -> None:
        own = self._doorbells[self.position]
        with selectors.DefaultSelector() as selector:
            selector.register(stop, selectors.EVENT_READ)
            selector.register(connection, selectors.EVENT_READ)
            for vector, fd in enumerate(own[: self.msix_vectors]):
                selector.register(fd, selectors.EVENT_READ, vector)
            while True:
                for key, _ in selector.select():
                    if key.fileobj == stop:
                        return
                    if key.fileobj is not connection:
                        with contextlib.suppress(BlockingIOError):
                            os.eventfd_read(key.fd)
                            self.host.raise_irq(IrqKind.MSIX, key.data)
                        continue
                    try:
                        got = receive(connection)
                    except (BadServer, OSError):
                        got = None
                    if got is None:  # the server is gone: peers stay as they are
                        selector.unregister(connection)
                    else:
                        self._take(*got)

    # --- DeviceModel -------------------------------------------------------------------------

    @property
    def peers(self) -> list[int]:
        """The peers that can be rung, this one among them."""
        with self._lock:
            return sorted(self._doorbells)

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        """Read a register of 4 bytes; what is not there reads as 0."""
        if bar != _REGISTERS or width != 4:
            return 0
        if offset == _INTR_STATUS:
            value, self._status = self._status, 0
            return value
        return {_INTR_MASK: self._mask, _IV_POSITION: self.position}.get(offset, 0)

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        """Write a register; a doorbell of nobody is ignored, as the specification has it."""
        if bar != _REGISTERS or width != 4:
            return
        if offset == _INTR_MASK:
            self._mask = value
        elif offset == _DOORBELL:
            peer, vector = value >> 16, value & 0xFFFF
            with self._lock:
                fds = self._doorbells.get(peer, [])
                if vector < len(fds):
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_write(fds[vector], 1)

    def reset(self) -> None:
        """Clear the registers; memory and peers stay."""
        self._mask = self._status = 0

    def close(self) -> None:
        """Leave the server and let go of the memory; closing twice is fine."""
        thread, self._thread = self._thread, None
        if thread is not None:
            os.eventfd_write(self._stop, 1)
            thread.join(_JOIN_TIMEOUT_S)
            os.close(self._stop)
        self._undo.close()

    def describe(self) -> Mapping[str, str]:
        """Return size and position."""
        kind = "doorbell" if self._connection is not None else "plain"
        return {"kind": kind, "size": str(self.size), "position": str(self.position)}
