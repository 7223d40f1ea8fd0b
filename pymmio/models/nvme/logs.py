"""Log pages (NVMe Base 1.4 §5.14, Base 2.0 §5.16)."""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING

from pymmio.models.nvme.command import Command
from pymmio.models.nvme.events import EventType
from pymmio.models.nvme.identify import BROADCAST
from pymmio.models.nvme.status import CommandError, Status

if TYPE_CHECKING:
    from pymmio.models.nvme.controller import NvmeModel

__all__ = ["Logs"]

_LID_BYTE = 40
_OFFSET_BYTE = 48
_NSID_BYTE = 4

#: Commands Supported and Effects: supported; changes logical block content
_CSUPP, _LBCC = 1 << 0, 1 << 1
_ADMIN_EFFECTS = {
    **dict.fromkeys((0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0C), _CSUPP),
    0x80: _CSUPP | _LBCC,
}
_IO_EFFECTS = {
    **dict.fromkeys((0x02, 0x05), _CSUPP),
    **dict.fromkeys((0x00, 0x01, 0x04, 0x08, 0x09), _CSUPP | _LBCC),
}


class Logs:
    """The log pages, and what is collected for them."""

    def __init__(self, model: NvmeModel) -> None:
        self._model = model
        self._errors: deque[bytes] = deque(maxlen=model.identity.error_log_entries)
        self.error_count = 0
        self.changed_namespaces: set[int] = set()

    def reset(self) -> None:
        """Forget errors and changes, as loss of power does; the error count goes on."""
        self._errors.clear()
        self.changed_namespaces.clear()

    def note_error(self, qid: int, command: Command, status: int, location: int) -> None:
        """Add an entry to the error information log (Base 1.4 figure 195)."""
        self.error_count += 1
        lba = command.cdw10 | command.cdw11 << 32 if qid else 0
        self._errors.appendleft(
            struct.pack(
                "<QHHHHQI",
                self.error_count,
                qid,
                command.cid,
                status << 1,
                location,
                lba,
                command.nsid,
            ).ljust(64, b"\0")
        )

    def page(self, command: Command) -> bytes:
        """Return the part of a log page that a Get Log Page command asks for."""
        lid = command.cdw10 & 0xFF
        size = ((command.cdw10 >> 16 | (command.cdw11 & 0xFFFF) << 16) + 1) * 4
        offset = command.cdw12 | command.cdw13 << 32
        if offset & 3:
            raise CommandError(Status.INVALID_FIELD, location=_OFFSET_BYTE)
        limit = self._model.max_transfer
        if limit and size > limit:
            raise CommandError(Status.INVALID_FIELD, location=_LID_BYTE + 2)
        data = self._content(lid, command.nsid)
        if offset >= len(data):
            raise CommandError(Status.INVALID_FIELD, location=_OFFSET_BYTE)
        return data[offset : offset + size]

    def was_read(self, command: Command) -> None:
        """Clear the events that a log page reports, unless RAE says to keep them."""
        if command.cdw10 >> 15 & 1:
            return
        match command.cdw10 & 0xFF:
            case 0x01:
                self._model.events.log_was_read(EventType.ERROR)
            case 0x02:
                self._model.events.log_was_read(EventType.SMART)
            case 0x04:
                self.changed_namespaces.clear()
                self._model.events.log_was_read(EventType.NOTICE)

    def _content(self, lid: int, nsid: int) -> bytes:
        match lid:
            case 0x00 if self._model.options.is_2_0:
                return self._supported()
            case 0x01:
                size = 64 * self._model.identity.error_log_entries
                return b"".join(self._errors).ljust(size, b"\0")
            case 0x02:
                return self._health(nsid)
            case 0x03:
                return b"\x01".ljust(8, b"\0") + b"1.0".ljust(8) + bytes(496)  # AFI, FRS1
            case 0x04:
                changed = sorted(self.changed_namespaces)
                return struct.pack(f"<{len(changed)}I", *changed).ljust(4096, b"\0")
            case 0x05:
                return self._effects()
        raise CommandError(Status.INVALID_LOG_PAGE, location=_LID_BYTE)

    @staticmethod
    def _supported() -> bytes:
        pages = [0] * 256
        for lid in range(6):
            pages[lid] = 1
        return struct.pack("<256I", *pages)

    @staticmethod
    def _effects() -> bytes:
        admin = [_ADMIN_EFFECTS.get(opcode, 0) for opcode in range(256)]
        io = [_IO_EFFECTS.get(opcode, 0) for opcode in range(256)]
        return struct.pack("<512I", *admin, *io).ljust(4096, b"\0")

    def _health(self, nsid: int) -> bytes:
        """SMART / Health Information of the controller, or of one namespace."""
        model = self._model
        if nsid in (0, BROADCAST):
            chosen = list(model.namespaces.values())
        else:
            namespace = model.identity.find(nsid)
            if namespace is None:
                raise CommandError(Status.INVALID_NAMESPACE_OR_FORMAT, location=_NSID_BYTE)
            chosen = [namespace]
        features = model.features
        data = bytearray(512)
        data[0] = 1 << 1 if features.is_temperature_critical else 0  # critical warning
        struct.pack_into("<H", data, 1, features.temperature)
        data[3] = 100  # available spare, percent
        data[4] = 10  # available spare threshold
        counters = (
            _thousands(sum(namespace.bytes_read for namespace in chosen)),
            _thousands(sum(namespace.bytes_written for namespace in chosen)),
            sum(namespace.reads for namespace in chosen),
            sum(namespace.writes for namespace in chosen),
        )
        for index, value in enumerate(counters):
            data[32 + 16 * index : 48 + 16 * index] = value.to_bytes(16, "little")
        data[112:128] = (1).to_bytes(16, "little")  # power cycles
        data[176:192] = self.error_count.to_bytes(16, "little")
        return bytes(data)


def _thousands(size: int) -> int:
    """Return a number of bytes in units of 1000 * 512 bytes, rounded up."""
    return -(-size // 512_000)
