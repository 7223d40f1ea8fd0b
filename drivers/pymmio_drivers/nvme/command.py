"""Commands: opcodes and 64-byte submission queue entries (NVMe Base 2.0 §3.3.3.1, §5;
NVM Command Set 1.0 §3.2).

Every builder is pure.  The command identifier (bytes 3:2) is left 0, the queue engine fills
it in; so does the queue with the data pointer of commands that have data.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "AdminOpcode",
    "Cns",
    "FeatureId",
    "IoOpcode",
    "LogId",
    "NSID_ALL",
    "Range",
    "SQE_SIZE",
    "abort",
    "async_event_request",
    "create_cq",
    "create_sq",
    "deallocate",
    "deallocate_ranges",
    "delete_cq",
    "delete_sq",
    "flush",
    "format_nvm",
    "get_features",
    "get_log_page",
    "identify",
    "io",
    "set_features",
    "sqe",
    "with_data_pointer",
]

SQE_SIZE = 64
_SQE = struct.Struct("<BBHIIIQQQIIIIII")
_IO = struct.Struct("<B3xI32xQI12x")
_DATA_POINTER = struct.Struct("<QQ")
_RANGE = struct.Struct("<IIQ")
NSID_ALL = 0xFFFF_FFFF


class AdminOpcode(enum.IntEnum):
    """Opcodes of admin commands (NVMe Base 2.0 §5)."""

    DELETE_IO_SQ = 0x00
    CREATE_IO_SQ = 0x01
    GET_LOG_PAGE = 0x02
    DELETE_IO_CQ = 0x04
    CREATE_IO_CQ = 0x05
    IDENTIFY = 0x06
    ABORT = 0x08
    SET_FEATURES = 0x09
    GET_FEATURES = 0x0A
    ASYNC_EVENT_REQUEST = 0x0C
    NAMESPACE_MANAGEMENT = 0x0D
    FIRMWARE_COMMIT = 0x10
    FIRMWARE_IMAGE_DOWNLOAD = 0x11
    DEVICE_SELF_TEST = 0x14
    NAMESPACE_ATTACHMENT = 0x15
    KEEP_ALIVE = 0x18
    FORMAT_NVM = 0x80
    SECURITY_SEND = 0x81
    SECURITY_RECEIVE = 0x82
    SANITIZE = 0x84


class IoOpcode(enum.IntEnum):
    """Opcodes of the NVM command set (NVM Command Set 1.0 §3.2)."""

    FLUSH = 0x00
    WRITE = 0x01
    READ = 0x02
    WRITE_UNCORRECTABLE = 0x04
    COMPARE = 0x05
    WRITE_ZEROES = 0x08
    DATASET_MANAGEMENT = 0x09
    VERIFY = 0x0C


class Cns(enum.IntEnum):
    """What an Identify command returns (NVMe Base 2.0 §5.17.1)."""

    NAMESPACE = 0x00
    CONTROLLER = 0x01
    ACTIVE_NAMESPACES = 0x02
    NAMESPACE_DESCRIPTORS = 0x03


class FeatureId(enum.IntEnum):
    """Feature identifiers (NVMe Base 2.0 §5.27.1)."""

    ARBITRATION = 0x01
    POWER_MANAGEMENT = 0x02
    TEMPERATURE_THRESHOLD = 0x04
    ERROR_RECOVERY = 0x05
    VOLATILE_WRITE_CACHE = 0x06
    NUMBER_OF_QUEUES = 0x07
    INTERRUPT_COALESCING = 0x08
    INTERRUPT_VECTOR_CONFIGURATION = 0x09
    WRITE_ATOMICITY = 0x0A
    ASYNC_EVENT_CONFIGURATION = 0x0B
    TIMESTAMP = 0x0E


class LogId(enum.IntEnum):
    """Log page identifiers (NVMe Base 2.0 §5.16.1)."""

    SUPPORTED_LOGS = 0x00
    ERROR_INFORMATION = 0x01
    SMART = 0x02
    FIRMWARE_SLOT = 0x03
    CHANGED_NAMESPACES = 0x04
    COMMANDS_SUPPORTED = 0x05


@dataclass(frozen=True, slots=True)
class Range:
    """Blocks for a dataset management command (NVM Command Set 1.0 §3.2.3)."""

    lba: int
    blocks: int


def sqe(
    opcode: int,
    *,
    nsid: int = 0,
    cdw2: int = 0,
    cdw3: int = 0,
    prp1: int = 0,
    prp2: int = 0,
    cdw10: int = 0,
    cdw11: int = 0,
    cdw12: int = 0,
    cdw13: int = 0,
    cdw14: int = 0,
    cdw15: int = 0,
) -> bytes:
    """Build an entry from its double words; PRPs, no fused operation, no metadata."""
    return _SQE.pack(
        opcode, 0, 0, nsid, cdw2, cdw3, 0, prp1, prp2, cdw10, cdw11, cdw12, cdw13, cdw14, cdw15
    )


def io(opcode: int, *, nsid: int, slba: int, cdw12: int) -> bytes:
    """Read, write and their like: ``cdw12`` has the number of blocks minus 1, and flags above."""
    return _IO.pack(opcode, nsid, slba, cdw12)


def with_data_pointer(entry: bytes, prp1: int, prp2: int) -> bytes:
    """Return the entry with PRP1 and PRP2 (bytes 39:24) filled in."""
    return entry[:24] + _DATA_POINTER.pack(prp1, prp2) + entry[40:]


def identify(cns: int, *, nsid: int = 0, cntid: int = 0) -> bytes:
    """Identify: 4096 bytes about what ``cns`` names (NVMe Base 2.0 §5.17)."""
    return sqe(AdminOpcode.IDENTIFY, nsid=nsid, cdw10=cns | cntid << 16)


def create_cq(qid: int, *, size: int, iova: int, vector: int | None) -> bytes:
    """Create a contiguous completion queue of ``size`` entries (NVMe Base 2.0 §5.4)."""
    interrupt = 0 if vector is None else vector << 16 | 1 << 1
    return sqe(
        AdminOpcode.CREATE_IO_CQ, prp1=iova, cdw10=(size - 1) << 16 | qid, cdw11=interrupt | 1
    )


def create_sq(qid: int, *, size: int, iova: int, cqid: int) -> bytes:
    """Create a contiguous submission queue, urgent priority (NVMe Base 2.0 §5.5)."""
    return sqe(
        AdminOpcode.CREATE_IO_SQ, prp1=iova, cdw10=(size - 1) << 16 | qid, cdw11=cqid << 16 | 1
    )


def delete_sq(qid: int) -> bytes:
    """Delete a submission queue; its outstanding commands are aborted (NVMe Base 2.0 §5.7)."""
    return sqe(AdminOpcode.DELETE_IO_SQ, cdw10=qid)


def delete_cq(qid: int) -> bytes:
    """Delete a completion queue that no submission queue uses (NVMe Base 2.0 §5.6)."""
    return sqe(AdminOpcode.DELETE_IO_CQ, cdw10=qid)


def abort(sqid: int, cid: int) -> bytes:
    """Ask for the end of a command; best effort (NVMe Base 2.0 §5.1)."""
    return sqe(AdminOpcode.ABORT, cdw10=cid << 16 | sqid)


def get_features(fid: int, *, select: int = 0, nsid: int = 0, cdw11: int = 0) -> bytes:
    """Get a feature: current (0), default (1), saved (2), capabilities (3) (§5.15)."""
    return sqe(AdminOpcode.GET_FEATURES, nsid=nsid, cdw10=select << 8 | fid, cdw11=cdw11)


def set_features(
    fid: int, value: int, *, save: bool = False, nsid: int = 0, cdw12: int = 0
) -> bytes:
    """Set a feature to ``value`` (CDW11), for good with ``save`` (NVMe Base 2.0 §5.27)."""
    return sqe(
        AdminOpcode.SET_FEATURES, nsid=nsid, cdw10=int(save) << 31 | fid, cdw11=value, cdw12=cdw12
    )


def get_log_page(
    lid: int, size: int, *, nsid: int = NSID_ALL, offset: int = 0, lsp: int = 0, rae: bool = False
) -> bytes:
    """Get ``size`` bytes (a multiple of 4) of a log page from ``offset`` (§5.16).

    With ``rae`` the asynchronous event that points at the log stays in place.
    """
    dwords = size // 4 - 1
    return sqe(
        AdminOpcode.GET_LOG_PAGE,
        nsid=nsid,
        cdw10=(dwords & 0xFFFF) << 16 | int(rae) << 15 | lsp << 8 | lid,
        cdw11=dwords >> 16,
        cdw12=offset & 0xFFFF_FFFF,
        cdw13=offset >> 32,
    )


def async_event_request() -> bytes:
    """Let the controller report the next asynchronous event (NVMe Base 2.0 §5.2)."""
    return sqe(AdminOpcode.ASYNC_EVENT_REQUEST)


def format_nvm(nsid: int, *, lba_format: int, erase: int = 0) -> bytes:
    """Format a namespace: LBA format by index, no protection information (NVMe Base 2.0 §5.14).

    The index has four bits in CDW10 3:0 and, where there are more than 16 formats, two in 13:12.
    ``erase``: none (0), user data (1), cryptographic (2).
    """
    low, high = lba_format & 0xF, lba_format >> 4
    return sqe(AdminOpcode.FORMAT_NVM, nsid=nsid, cdw10=high << 12 | erase << 9 | low)


def flush(nsid: int) -> bytes:
    """Commit the volatile write cache of a namespace (NVMe Base 2.0 §7.1)."""
    return sqe(IoOpcode.FLUSH, nsid=nsid)


def deallocate(nsid: int, count: int) -> bytes:
    """Dataset management, attribute deallocate, ``count`` ranges (NVM Command Set 1.0 §3.2.3)."""
    return sqe(IoOpcode.DATASET_MANAGEMENT, nsid=nsid, cdw10=count - 1, cdw11=1 << 2)


def deallocate_ranges(ranges: Sequence[Range]) -> bytes:
    """Build the data of a dataset management command, 16 bytes a range."""
    return b"".join(_RANGE.pack(0, r.blocks, r.lba) for r in ranges)
