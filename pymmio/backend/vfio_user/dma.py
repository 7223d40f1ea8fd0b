"""Memory that the device may reach, by descriptor or by message."""

from __future__ import annotations

import bisect
import errno
import mmap
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymmio.arch import ffi
from pymmio.backend.vfio_user.connection import Connection
from pymmio.backend.vfio_user.handshake import MAX_DATA
from pymmio.backend.vfio_user.messages import (
    Command,
    DmaData,
    DmaMap,
    DmaRequest,
    DmaUnmap,
    Header,
)
from pymmio.backend.vfio_user.refusals import reason
from pymmio.errors import (
    DmaError,
    ForkedObject,
    IommuFault,
    MappingLimit,
    ProtocolError,
    PymmioError,
)
from pymmio.handle import Iova, IovaRange

__all__ = ["DmaLimits", "VfioUserDma"]

_IOVA_BITS = 48
_MAX_FAULTS = 16
_FEW = 15
"""libvfio-user 0.0.1 takes 16 mappings, whatever it says, and answers the next with EINVAL."""


@dataclass(frozen=True, slots=True)
class DmaLimits:
    """What the server takes: pages in bytes, and how many mappings."""

    page_size: int
    max_mappings: int


@dataclass(frozen=True, slots=True)
class _Mapping:
    """Memory of the driver, which keeps it as long as it is mapped."""

    iova: int
    size: int
    address: int
    fd: int
    fd_offset: int


class VfioUserDma:
    """A :class:`~pymmio.handle.DmaHandle`; answers the device's own accesses too.

    A device reaches mapped memory through its descriptor, or asks for it with DMA_READ and
    DMA_WRITE, which :meth:`answer` serves within what is mapped.  ``faults`` keeps the last
    accesses that were refused.  Safe for threads.
    """

    pins_memory = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._limits = DmaLimits(mmap.PAGESIZE, 0)
        self._connection: Connection | None = None
        self._starts: list[int] = []
        self._mappings: dict[int, _Mapping] = {}
        self._lock = threading.Lock()  # nobody copies from memory that is being taken away
        self.faults: deque[IommuFault] = deque(maxlen=_MAX_FAULTS)

    def connect(self, connection: Connection, limits: DmaLimits) -> None:
        """Use this connection from now on; tell its server what is mapped."""
        self._connection = connection
        self._limits = limits
        for mapping in list(self._mappings.values()):
            self._send_map(mapping)

    @property
    def page_size(self) -> int:
        return self._limits.page_size

    @property
    def max_mappings(self) -> int:
        return self._limits.max_mappings

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        """48 bits without the window of x86's interrupts, which a device model may keep free."""
        return (IovaRange(0, 0xFEDF_FFFF), IovaRange(0xFEF0_0000, (1 << _IOVA_BITS) - 1))

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Hand the memory's descriptor to the server.  Raises DmaError, DeviceGone."""
        last = iova + size - 1
        if not any(usable.first <= iova <= last <= usable.last for usable in self.iova_ranges):
            raise DmaError(
                f"{self._name}: {size:#x} bytes at IOVA {iova:#x} are not usable addresses"
            )
        mapping = _Mapping(iova, size, address, fd, fd_offset)
        with self._lock:  # before the request: the device may use it before its reply is here
            self._insert(mapping)
        try:
            self._send_map(mapping)
        except BaseException:
            with self._lock:
                self._remove(iova)
            raise

    def _send_map(self, mapping: _Mapping) -> None:
        what = f"{self._name}: mapping {mapping.size:#x} bytes at IOVA {mapping.iova:#x}"
        request = DmaMap(mapping.iova, mapping.size, mapping.fd_offset)
        reply = self._required.request(Command.DMA_MAP, request.pack(), [mapping.fd])
        reply.fds.close()
        if not reply.header.is_error:
            return
        number = reply.header.error
        is_limit = number == errno.EINVAL and len(self._mappings) > _FEW
        if is_limit or number in (errno.ENOSPC, errno.E2BIG, errno.EMFILE, errno.ENFILE):
            raise MappingLimit(
                f"{what}: the server takes no more: {reason(number)}",
                hint="Close buffers, or cut small pieces from one buffer with DmaPool",
            )
        raise DmaError(f"{what}: the server refuses: {reason(number)}")

    def unmap(self, iova: Iova, size: int) -> None:
        """Take a mapping away; when it returns the server has let go of it, or is cut off.

        A server that does not do it, or does not answer, loses the connection: it cannot ask for
        the memory any more, and what it has of the memfd itself belongs to nobody else.  Then
        the device is gone, for the reason that everybody is told.  Raises DmaError where nothing
        of the kind is mapped.
        """
        mapping = self._mappings.get(iova)
        if mapping is None or mapping.size != size:
            raise DmaError(f"{self._name}: no mapping of {size:#x} bytes at IOVA {iova:#x}")
        try:
            self._send_unmap(mapping)
        except ForkedObject:
            raise
        except PymmioError as error:
            self._required.cut_off(error.message)
        with self._lock:
            self._remove(iova)

    def _send_unmap(self, mapping: _Mapping) -> None:
        what = f"unmapping {mapping.size:#x} bytes at IOVA {mapping.iova:#x}"
        request = DmaUnmap(mapping.iova, mapping.size)
        reply = self._required.ask(Command.DMA_UNMAP, request.pack(), what=what)
        reply.fds.close()
        if reply.payload:
            done = DmaUnmap.parse(reply.payload)
            if (done.address, done.size) != (mapping.iova, mapping.size):
                raise ProtocolError(
                    f"{self._name}: {what}: the server unmapped {done.size:#x} bytes at "
                    f"{done.address:#x}"
                )

    def _insert(self, mapping: _Mapping) -> None:
        at = bisect.bisect_right(self._starts, mapping.iova)
        for index in (at - 1, at):
            if not 0 <= index < len(self._starts):
                continue
            other = self._mappings[self._starts[index]]
            if other.iova < mapping.iova + mapping.size and mapping.iova < other.iova + other.size:
                raise DmaError(
                    f"{self._name}: {mapping.size:#x} bytes at IOVA {mapping.iova:#x} overlap a "
                    "mapping"
                )
        self._starts.insert(at, mapping.iova)
        self._mappings[mapping.iova] = mapping

    def _remove(self, iova: int) -> None:
        del self._mappings[iova]
        self._starts.remove(iova)

    @property
    def _required(self) -> Connection:
        assert self._connection is not None  # made and connected by the same function
        return self._connection

    # --- the device's side -------------------------------------------------------------------

    def answer(self, header: Header, payload: bytes) -> tuple[Header, bytes] | None:
        """Serve a request of the device; return the reply, None where it wants none.

        What makes no sense gets an error, and nothing is touched.
        """
        body: bytes | int
        try:
            if header.command == Command.DMA_READ:
                body = self._read(DmaRequest.parse(payload))
            elif header.command == Command.DMA_WRITE:
                body = self._write(DmaData.parse(payload))
            else:
                body = errno.EOPNOTSUPP
        except ProtocolError:
            body = errno.EINVAL
        if not header.wants_reply:
            return None
        if isinstance(body, int):
            return header.error_reply(body), b""
        return header.reply(len(body)), body

    def _read(self, asked: DmaRequest) -> bytes | int:
        if asked.count > MAX_DATA:
            return errno.EINVAL
        with self._lock:
            pieces = self._pieces("read", asked.address, asked.count)
            if pieces is None:
                return errno.EFAULT
            data = b"".join(bytes(piece) for piece in pieces)
        return DmaData(asked.address, data).pack()

    def _write(self, asked: DmaData) -> bytes | int:
        done = 0
        with self._lock:
            pieces = self._pieces("write", asked.address, len(asked.data))
            if pieces is None:
                return errno.EFAULT
            for piece in pieces:
                piece[:] = asked.data[done : done + len(piece)]
                done += len(piece)
        return DmaRequest(asked.address, done).pack()

    def _pieces(self, verb: str, iova: int, size: int) -> list[memoryview] | None:
        """Return the memory of an access, which may span mappings; None where some is missing."""
        pieces: list[memoryview] = []
        at, end = iova, iova + size
        while at < end:
            index = bisect.bisect_right(self._starts, at) - 1
            mapping = self._mappings[self._starts[index]] if index >= 0 else None
            if mapping is None or at >= mapping.iova + mapping.size:
                self.faults.append(
                    IommuFault(
                        f"{self._name}: the device wanted to {verb} {size:#x} bytes at IOVA "
                        f"{iova:#x}, and nothing is mapped at {at:#x}"
                    )
                )
                return None
            stop = min(end, mapping.iova + mapping.size)
            pieces.append(_memory(mapping.address + at - mapping.iova, stop - at))
            at = stop
        return pieces

    def after_fork(self) -> None:
        """In a forked child: nobody holds the lock."""
        self._lock = threading.Lock()


def _memory(address: int, size: int) -> memoryview:
    pointer: Any = ffi.cast("uint8_t *", address)
    return memoryview(ffi.buffer(pointer, size))
