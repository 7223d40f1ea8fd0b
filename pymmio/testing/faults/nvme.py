"""Faults of NVMe controllers: completions that get lost, are late, or tell of failures.

For device models.  A controller announces a completion by writing the phase tag of its entry
(NVMe Base 2.0 §3.3.3.2): that write is what is spoiled here.  Where completion queues are is
learnt from what the driver writes to ACQ and from its Create I/O Completion Queue commands.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Unpack

from pymmio.errors import BadArgument
from pymmio.testing.faults.event import Event, EventKind
from pymmio.testing.faults.fault import Fault, Predicate, Tracker, When

__all__ = [
    "Completions",
    "Data",
    "Queues",
    "Status",
    "completion_late",
    "completion_lost",
    "status_changed",
]

_CC = 0x14  # NVMe Base 2.0 §3.1.3.5; clearing bit 0 is a controller reset
CLASS_CODE = 0x010802  #: NVMe over PCIe 1.0 §3.8.1
_AQA, _ASQ, _ACQ = 0x24, 0x28, 0x30  # NVMe Base 2.0 §3.1.3.8 to §3.1.3.10
_CREATE_IO_CQ = 0x05  # NVMe Base 2.0 §5.4
_SQE, _CQE, _LAST_DWORD = 64, 16, 12
_STATUS_BITS = 0x7FFF << 17  # bits 31:17 of DW3; bit 16 is the phase tag


@dataclass(frozen=True, slots=True)
class Completions:
    """The condition "a completion entry is announced", of queue ``qid`` or of any.

    ``also`` is asked, too.
    """

    qid: int | None = None
    also: Predicate | None = None

    def new_tracker(self) -> Queues:
        """Return who knows where the queues are."""
        return Queues()

    def holds(self, event: Event, tracker: Tracker) -> bool:
        """Tell whether the last dword of an entry is written, which has the phase tag.

        What is written of an entry before that nobody looks at.
        """
        assert isinstance(tracker, Queues)
        qid = tracker.queue_of(event)
        if qid is None or (self.qid is not None and qid != self.qid):
            return False
        if len(event.data) != 4 or event.iova % _CQE != _LAST_DWORD:
            return False
        return self.also is None or self.also(event)


@dataclass(frozen=True, slots=True)
class Data:
    """The condition "data goes to the driver's memory": anything but completion entries."""

    def new_tracker(self) -> Queues:
        """Return who knows where the queues are."""
        return Queues()

    def holds(self, event: Event, tracker: Tracker) -> bool:
        """Tell whether no completion queue is written to."""
        assert isinstance(tracker, Queues)
        return tracker.queue_of(event) is None


class Queues:
    """A Tracker that knows where a controller's queues are, by what it and its driver do."""

    def __init__(self) -> None:
        self._registers = bytearray(0x40)
        self._completions: dict[int, tuple[int, int]] = {}  # qid: (iova, bytes)
        self.epoch = 0  #: how often the controller was reset

    def observe(self, event: Event) -> None:
        """Look at what the driver writes to registers and what the controller fetches."""
        if event.kind is EventKind.MODEL_WRITE and event.region == 0:
            end = event.offset + event.width
            if end <= len(self._registers):
                data = event.value.to_bytes(event.width, "little")
                was_on = self._registers[_CC] & 1
                self._registers[event.offset : end] = data
                self.epoch += was_on and not self._registers[_CC] & 1
                if event.offset < _ACQ + 8 and end > _AQA:
                    base = self._number(_ACQ, 8)
                    entries = (self._number(_AQA + 2, 2) & 0xFFF) + 1
                    self._completions = {0: (base, entries * _CQE)}
        elif event.kind is EventKind.DMA_READ:
            self._look_at_commands(event)

    def _look_at_commands(self, event: Event) -> None:
        base = self._number(_ASQ, 8)
        end = base + ((self._number(_AQA, 2) & 0xFFF) + 1) * _SQE
        if not base <= event.iova < end or (event.iova - base) % _SQE:
            return
        for at in range(0, len(event.data) - _SQE + 1, _SQE):
            entry = event.data[at : at + _SQE]
            if entry[0] == _CREATE_IO_CQ:
                (prp1,) = struct.unpack_from("<Q", entry, 24)
                qid, size = struct.unpack_from("<HH", entry, 40)
                self._completions[qid] = (prp1, (size + 1) * _CQE)

    def _number(self, offset: int, width: int) -> int:
        return int.from_bytes(self._registers[offset : offset + width], "little")

    def queue_of(self, event: Event) -> int | None:
        """Return the queue whose memory is written, None if it is none's."""
        for qid, (base, size) in self._completions.items():
            if base <= event.iova < base + size:
                return qid
        return None


@dataclass(frozen=True, slots=True)
class Status:
    """Changes the status field of a completion."""

    status: int

    def __call__(self, data: bytes) -> bytes:
        last = int.from_bytes(data, "little") & ~_STATUS_BITS
        return (last | self.status << 17 & _STATUS_BITS).to_bytes(4, "little")


def completion_lost(qid: int | None = None, **when: Unpack[When]) -> Fault:
    """Have a completion never be announced."""
    return Fault.dma_write_lost(**_of(qid, when))


def completion_late(
    delay_s: float | None = None, qid: int | None = None, **when: Unpack[When]
) -> Fault:
    """Have a completion be announced later; None: when ``release()`` of the handle is called.

    The interrupt comes at its usual time, and finds nothing.
    """
    return Fault.dma_write_late(delay_s, **_of(qid, when))


def status_changed(status: int, qid: int | None = None, **when: Unpack[When]) -> Fault:
    """Have a completion tell of ``status``, though the command was done.

    ``status`` is the field without the phase tag: code in bits 7:0, type in 10:8, DNR in 14.
    """
    return Fault.dma_write_wrong(Status(status), **_of(qid, when))


def _of(qid: int | None, when: When) -> When:
    """Return the conditions for a queue's completions; one, if nothing else is said."""
    also = when.get("when")
    if also is not None and not callable(also):
        raise BadArgument(f"when={also!r}: a function of an event is wanted here")
    usual = 1 if when.get("probability", 1.0) == 1 and also is None else None
    return {"count": usual, **when, "when": Completions(qid, also)}
