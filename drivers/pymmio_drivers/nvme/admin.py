"""Admin commands: identify, features, log pages, queues, and any other as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pymmio.errors import BadArgument, ProtocolError
from pymmio_drivers.nvme import command
from pymmio_drivers.nvme.buffers import Scratch, look_at
from pymmio_drivers.nvme.command import Cns, FeatureId, LogId
from pymmio_drivers.nvme.queue import QueuePair
from pymmio_drivers.nvme.request import Command, Operation, Request
from pymmio_drivers.nvme.structures import (
    IDENTIFY_SIZE,
    ErrorLogEntry,
    FirmwareSlotLog,
    IdentifyController,
    IdentifyNamespace,
    NamespaceId,
    SmartLog,
    parse_active_namespaces,
    parse_changed_namespaces,
    parse_namespace_ids,
)

__all__ = ["Admin", "AdminResult", "Dispatcher"]

_QUEUE_COUNT_LIMIT = 0xFFFE
_ERROR_LOG_ENTRY_SIZE = 64


@dataclass(frozen=True, slots=True)
class AdminResult:
    """DW0 of the completion, and the data that the controller sent, if any was asked for."""

    result: int
    data: bytes


class Dispatcher(Protocol):
    """Sends requests once the controller is ready; see ``recovery.py``."""

    def dispatch(self, queue: QueuePair, request: Operation, commands: list[Command]) -> None: ...


class Admin:
    """The admin queue of a controller.  Called, it sends any admin command: pass-through."""

    def __init__(
        self, dispatcher: Dispatcher, queue: QueuePair, scratch: Scratch, *, timeout_s: float
    ) -> None:
        self._dispatcher = dispatcher
        self._scratch = scratch
        self.queue = queue
        self.timeout_s = timeout_s
        self.max_transfer = 4096

    def __call__(
        self,
        opcode: int,
        *,
        nsid: int = 0,
        cdw2: int = 0,
        cdw3: int = 0,
        cdw10: int = 0,
        cdw11: int = 0,
        cdw12: int = 0,
        cdw13: int = 0,
        cdw14: int = 0,
        cdw15: int = 0,
        send: bytes = b"",
        receive: int = 0,
        timeout_s: float | None = None,
    ) -> AdminResult:
        """Send any admin command with ``send`` as its data, or ``receive`` bytes asked for.

        What the command does is between the caller and the controller: a format is a format.
        Raises StatusError and its subclasses, CommandTimeout, BadArgument.
        """
        entry = command.sqe(
            opcode,
            nsid=nsid,
            cdw2=cdw2,
            cdw3=cdw3,
            cdw10=cdw10,
            cdw11=cdw11,
            cdw12=cdw12,
            cdw13=cdw13,
            cdw14=cdw14,
            cdw15=cdw15,
        )
        what = f"admin command {opcode:#04x}"
        return self.send(entry, what, send=send, receive=receive, timeout_s=timeout_s)

    def send(
        self,
        entry: bytes,
        what: str,
        *,
        send: bytes = b"",
        receive: int = 0,
        timeout_s: float | None = None,
    ) -> AdminResult:
        """Send a ready entry and wait for its completion."""
        if send and receive:
            raise BadArgument(f"{what}: data in both directions", hint="Give send or receive")
        size = len(send) or receive
        if not size:
            return AdminResult(self._wait(self._request(what, timeout_s), entry, 0, 0), b"")
        if size > self.max_transfer:
            raise BadArgument(
                f"{what}: {size} bytes of data, the controller takes {self.max_transfer}",
                hint="Split the transfer",
            )
        with self._scratch.take(size) as buffer:
            with look_at(buffer) as view:
                view[:size] = send or bytes(size)  # of an earlier command nothing is to be seen
            request = self._request(what, timeout_s, buffer)
            result = self._wait(request, entry, buffer.iova, size)
            with look_at(buffer) as view:
                return AdminResult(result, b"" if send else bytes(view[:size]))

    def start(self, entry: bytes, what: str, *, timeout_s: float) -> Request:
        """Send a ready entry without data and return its request."""
        request = self._request(what, timeout_s)
        self._dispatcher.dispatch(self.queue, request, [Command(request, entry)])
        return request

    def _request(self, what: str, timeout_s: float | None, *held: object) -> Request:
        limit = self.timeout_s if timeout_s is None else timeout_s
        return Request(self.queue, what, timeout_s=limit, held=held)  # type: ignore[arg-type]

    def _wait(self, request: Request, entry: bytes, iova: int, size: int) -> int:
        self._dispatcher.dispatch(self.queue, request, [Command(request, entry, iova, size)])
        return request.result().result

    # --- identify ---------------------------------------------------------------------

    def identify(self, cns: int, *, nsid: int = 0, cntid: int = 0) -> bytes:
        """Return the 4096 bytes of an Identify command."""
        entry = command.identify(cns, nsid=nsid, cntid=cntid)
        what = f"identify (CNS {cns:#04x}) of nsid {nsid}"
        return self.send(entry, what, receive=IDENTIFY_SIZE).data

    def identify_controller(self) -> IdentifyController:
        """Return what the controller says about itself."""
        return IdentifyController.parse(self.identify(Cns.CONTROLLER))

    def identify_namespace(self, nsid: int) -> IdentifyNamespace:
        """Return what the controller says about a namespace; all zero if it is not active."""
        return IdentifyNamespace.parse(self.identify(Cns.NAMESPACE, nsid=nsid))

    def namespace_ids(self, nsid: int) -> tuple[NamespaceId, ...]:
        """Return the identification descriptors of a namespace."""
        return parse_namespace_ids(self.identify(Cns.NAMESPACE_DESCRIPTORS, nsid=nsid))

    def active_namespaces(self) -> tuple[int, ...]:
        """Return the ids of all active namespaces, ascending; one command for each 1024."""
        found: list[int] = []
        while True:
            last = found[-1] if found else 0
            part = parse_active_namespaces(self.identify(Cns.ACTIVE_NAMESPACES, nsid=last))
            if part and part[0] <= last:
                raise ProtocolError(f"active namespaces above {last} start with {part[0]}")
            found += part
            if len(part) < IDENTIFY_SIZE // 4:
                return tuple(found)

    # --- features and logs ------------------------------------------------------------

    def get_features(
        self, fid: int, *, select: int = 0, nsid: int = 0, cdw11: int = 0, receive: int = 0
    ) -> AdminResult:
        """Get a feature: current (select 0), default (1), saved (2), capabilities (3)."""
        entry = command.get_features(fid, select=select, nsid=nsid, cdw11=cdw11)
        return self.send(entry, f"get features {fid:#04x}", receive=receive)

    def set_features(
        self, fid: int, value: int, *, save: bool = False, nsid: int = 0, send: bytes = b""
    ) -> int:
        """Set a feature (CDW11 ``value``); returns DW0 of the completion."""
        entry = command.set_features(fid, value, save=save, nsid=nsid)
        return self.send(entry, f"set features {fid:#04x}", send=send).result

    def get_log_page(
        self, lid: int, size: int, *, nsid: int = command.NSID_ALL, offset: int = 0, lsp: int = 0
    ) -> bytes:
        """Return ``size`` bytes of a log page from ``offset``, both multiples of 4."""
        if size < 4 or size % 4 or offset % 4:
            raise BadArgument(
                f"log page {lid:#04x}: {size} bytes at {offset}", hint="Give multiples of 4"
            )
        parts: list[bytes] = []
        for at in range(0, size, self.max_transfer):
            length = min(self.max_transfer, size - at)
            entry = command.get_log_page(lid, length, nsid=nsid, offset=offset + at, lsp=lsp)
            parts.append(self.send(entry, f"get log page {lid:#04x}", receive=length).data)
        return b"".join(parts)

    def smart_log(self, nsid: int = command.NSID_ALL) -> SmartLog:
        """Return the SMART / health log of the controller."""
        return SmartLog.parse(self.get_log_page(LogId.SMART, SmartLog.spec.size, nsid=nsid))

    def error_log(self, entries: int = 1) -> tuple[ErrorLogEntry, ...]:
        """Return the newest error log entries that are valid, newest first."""
        data = self.get_log_page(LogId.ERROR_INFORMATION, entries * _ERROR_LOG_ENTRY_SIZE)
        found = (ErrorLogEntry.parse(data, at) for at in range(0, len(data), _ERROR_LOG_ENTRY_SIZE))
        return tuple(entry for entry in found if entry.error_count)

    def firmware_log(self) -> FirmwareSlotLog:
        """Return which firmware is in which slot."""
        data = self.get_log_page(LogId.FIRMWARE_SLOT, FirmwareSlotLog.spec.size)
        return FirmwareSlotLog.parse(data)

    def changed_namespaces(self) -> tuple[int, ...] | None:
        """Return the ids of namespaces that changed since this was last read; None: too many."""
        return parse_changed_namespaces(self.get_log_page(LogId.CHANGED_NAMESPACES, 4096))

    def abort(self, sqid: int, cid: int) -> bool:
        """Ask for the end of a command; returns whether the controller says that it will.

        Best effort (NVMe Base 2.0 §5.1): a command that is not there is no error.
        """
        result = self.send(command.abort(sqid, cid), f"abort of {cid:#x} in queue {sqid}").result
        return not result & 1

    # --- queues -----------------------------------------------------------------------

    def set_queue_count(self, count: int) -> int:
        """Ask for ``count`` I/O queue pairs; returns how many there may be (Base 2.0 §5.27.1.5)."""
        result = self.set_features(FeatureId.NUMBER_OF_QUEUES, (count - 1) << 16 | (count - 1))
        granted = min(result & 0xFFFF, result >> 16)
        if granted > _QUEUE_COUNT_LIMIT:
            raise ProtocolError(f"number of queues: the controller grants {result:#010x}")
        return granted + 1

    def create_queue_pair(self, queue: QueuePair, vector: int | None) -> None:
        """Create completion and submission queue on the controller; the queue then accepts."""
        sq, cq, qid = queue.memory.sq, queue.memory.cq, queue.qid
        entry = command.create_cq(qid, size=queue.depth, iova=cq.iova, vector=vector)
        self.send(entry, f"create completion queue {qid}")
        entry = command.create_sq(qid, size=queue.depth, iova=sq.iova, cqid=qid)
        self.send(entry, f"create submission queue {qid}")
        queue.accept()

    def delete_queue_pair(self, queue: QueuePair, *, timeout_s: float) -> None:
        """Delete both queues; outstanding commands end as aborted."""
        queue.accept(False)
        qid = queue.qid
        self.send(command.delete_sq(qid), f"delete submission queue {qid}", timeout_s=timeout_s)
        self.send(command.delete_cq(qid), f"delete completion queue {qid}", timeout_s=timeout_s)
