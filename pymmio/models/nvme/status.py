"""Status codes as a completion carries them (NVMe Base 1.4 §4.6.1; Base 2.0 §3.3.3.2.1)."""

from __future__ import annotations

import enum

__all__ = ["DO_NOT_RETRY", "MORE", "CommandError", "Status"]

DO_NOT_RETRY = 0x4000  #: DNR: bit 14 of the 15-bit status field
MORE = 0x2000  #: M: bit 13, the error information log says more about this command


class Status(enum.IntEnum):
    """Status code type in bits 10:8, status code in bits 7:0."""

    # Generic command status (type 0h)
    SUCCESS = 0x000
    INVALID_OPCODE = 0x001
    INVALID_FIELD = 0x002
    COMMAND_ID_CONFLICT = 0x003
    DATA_TRANSFER_ERROR = 0x004
    INTERNAL_ERROR = 0x006
    ABORT_REQUESTED = 0x007
    ABORTED_SQ_DELETION = 0x008
    INVALID_NAMESPACE_OR_FORMAT = 0x00B
    COMMAND_SEQUENCE_ERROR = 0x00C
    PRP_OFFSET_INVALID = 0x013
    LBA_OUT_OF_RANGE = 0x080
    CAPACITY_EXCEEDED = 0x081
    NAMESPACE_NOT_READY = 0x082

    # Command specific status (type 1h)
    COMPLETION_QUEUE_INVALID = 0x100
    INVALID_QUEUE_IDENTIFIER = 0x101
    INVALID_QUEUE_SIZE = 0x102
    ASYNC_EVENT_LIMIT_EXCEEDED = 0x105
    INVALID_INTERRUPT_VECTOR = 0x108
    INVALID_LOG_PAGE = 0x109
    INVALID_FORMAT = 0x10A
    INVALID_QUEUE_DELETION = 0x10C
    FEATURE_NOT_SAVEABLE = 0x10D
    FEATURE_NOT_CHANGEABLE = 0x10E
    FEATURE_NOT_NAMESPACE_SPECIFIC = 0x10F

    # Media and data integrity errors (type 2h)
    WRITE_FAULT = 0x280
    UNRECOVERED_READ_ERROR = 0x281
    COMPARE_FAILURE = 0x285


class CommandError(Exception):
    """A command ends with ``status``; inside the model only, never seen by its host.

    ``location`` is the byte of the submission queue entry that is at fault, as the error
    information log reports it (0xFFFF: none in particular).
    """

    def __init__(self, status: int, *, dnr: bool = True, location: int = 0xFFFF) -> None:
        super().__init__(f"status {status:#05x}")
        self.status = status | (DO_NOT_RETRY if dnr else 0)
        self.location = location
