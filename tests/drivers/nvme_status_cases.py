"""Commands with the status that an NVMe controller has to give: data for any controller.

Run them by raw command submission against the model, QEMU's device or hardware.  Nothing
here comes from a driver's or a model's tables: numbers are those of NVM Express Base 1.4.

What a case assumes: the controller is enabled with 4 KiB pages; I/O queue pair 1 exists
and no other; the driver has not moved a queue; namespace 1 is active, namespace 200 is
valid and inactive (NN is 200 or more), 10000h is beyond NN; MDTS is at most 7 (512 KiB),
MQES less than FFFFh, fewer than FFFFh queues and vectors.  The caller owns ``BUFFER_SIZE``
bytes of page-aligned memory that the device reaches in one piece, and an address that it
does not reach.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["BUFFER_SIZE", "CASES", "Address", "Case"]

BUFFER_SIZE = 0x8000
_LIST_AT = 0x7000

BROADCAST = 0xFFFF_FFFF
INACTIVE = 200
BEYOND_NN = 0x10000

# Base 1.4 figures 126 to 129: status code type << 8 | status code
SUCCESS = 0x000
INVALID_OPCODE = 0x001
INVALID_FIELD = 0x002
DATA_TRANSFER_ERROR = 0x004
INVALID_NAMESPACE = 0x00B
SEQUENCE_ERROR = 0x00C
DATA_SGL_LENGTH = 0x00F
PRP_OFFSET = 0x013
LBA_OUT_OF_RANGE = 0x080
CQ_INVALID = 0x100
QUEUE_ID = 0x101
QUEUE_SIZE = 0x102
INTERRUPT_VECTOR = 0x108
LOG_PAGE = 0x109
FORMAT = 0x10A
QUEUE_DELETION = 0x10C
NOT_SAVEABLE = 0x10D
NOT_CHANGEABLE = 0x10E
NOT_NAMESPACE_SPECIFIC = 0x10F
COMPARE_FAILURE = 0x285


@dataclass(frozen=True, slots=True)
class Address:
    """An offset into the caller's buffer, or into where the device reaches nothing."""

    offset: int = 0
    is_mapped: bool = True

    def resolve(self, buffer: int, unmapped: int) -> int:
        return (buffer if self.is_mapped else unmapped) + self.offset


BUFFER = Address()
UNMAPPED = Address(is_mapped=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One command.  ``qemu`` is the status of QEMU's controller where it is another one.

    ``qemu`` is "skip" where QEMU's answer depends on its version or on luck.
    ``transfer`` (bytes) gives NLB for the namespace's block size.  ``fill`` is put into
    the whole buffer first, ``prp_list`` then at its end, with PRP2 pointing to it.
    ``before`` runs first and must succeed.  ``writes``: blocks of namespace 1 change.
    """

    name: str
    queue: Literal["admin", "io"]
    opcode: int
    expected: int
    source: str
    qemu: int | Literal["same", "skip"] = "same"
    flags: int = 0
    nsid: int = 0
    prp1: Address = BUFFER
    prp2: Address | None = None
    prp_list: tuple[Address, ...] = ()
    cdw: dict[int, int] = field(default_factory=dict)
    transfer: int | None = None
    dw0: int | None = None
    fill: int = 0
    before: Case | None = None
    writes: bool = False

    def entry(self, *, cid: int, buffer: int, unmapped: int, block_size: int = 512) -> bytes:
        """Return the 64 bytes of the submission queue entry."""
        words = {**self.cdw}
        if self.transfer is not None:
            words[12] = words.get(12, 0) | (self.transfer // block_size - 1)
        prp2 = self.prp2
        if self.prp_list and prp2 is None:
            prp2 = Address(_LIST_AT)
        return struct.pack(
            "<BBHIQQQQ6I",
            self.opcode,
            self.flags,
            cid,
            self.nsid,
            0,
            0,
            self.prp1.resolve(buffer, unmapped),
            prp2.resolve(buffer, unmapped) if prp2 else 0,
            *(words.get(number, 0) for number in range(10, 16)),
        )

    def memory(self, *, buffer: int, unmapped: int) -> bytes:
        """Return what the buffer holds when the command is submitted."""
        content = bytearray([self.fill]) * BUFFER_SIZE
        entries = [address.resolve(buffer, unmapped) for address in self.prp_list]
        struct.pack_into(f"<{len(entries)}Q", content, _LIST_AT, *entries)
        return bytes(content)


def admin(name: str, opcode: int, expected: int, source: str, **fields: object) -> Case:
    return Case(name, "admin", opcode, expected, source, **fields)  # type: ignore[arg-type]


def io(name: str, opcode: int, expected: int, source: str, **fields: object) -> Case:
    fields.setdefault("nsid", 1)
    return Case(name, "io", opcode, expected, source, **fields)  # type: ignore[arg-type]


_HIGHEST = {10: 0xFFFF_FFFF, 11: 0xFFFF_FFFF}
_PC_AND_CQ1 = 1 << 16 | 1


def _qid(qid: int, size: int = 31) -> dict[int, int]:
    return {10: size << 16 | qid}


_GENERAL = (
    admin("admin-opcode-reserved", 0x7F, INVALID_OPCODE, "§4.6.1"),
    admin("admin-opcode-vendor", 0xFF, INVALID_OPCODE, "§4.6.1"),
    admin("namespace-management", 0x0D, INVALID_OPCODE, "§5.20, OACS bit 3"),
    admin("firmware-commit", 0x10, INVALID_OPCODE, "§5.11, OACS bit 2"),
    admin("admin-sgl", 0x06, INVALID_FIELD, "figure 105, PSDT", flags=0x40, cdw={10: 1}),
    admin("admin-fused", 0x06, INVALID_FIELD, "figure 105, FUSE", flags=0x01, cdw={10: 1}),
)

_IDENTIFY = (
    admin("identify-controller", 0x06, SUCCESS, "§5.15.2.2", cdw={10: 1}),
    admin("identify-cns-reserved", 0x06, INVALID_FIELD, "figure 245", cdw={10: 0xFF}),
    admin("identify-namespace-0", 0x06, INVALID_NAMESPACE, "§5.15.2.1"),
    admin("identify-namespace-broadcast", 0x06, INVALID_NAMESPACE, "§5.15.2.1", nsid=BROADCAST),
    admin("identify-namespace-beyond-nn", 0x06, INVALID_NAMESPACE, "§6.1.2", nsid=BEYOND_NN),
    admin("identify-namespace-inactive", 0x06, SUCCESS, "§5.15.2.1: all zero", nsid=INACTIVE),
    admin(
        "identify-list-after-broadcast",
        0x06,
        INVALID_NAMESPACE,
        "§5.15.2.3",
        nsid=BROADCAST,
        cdw={10: 2},
    ),
    admin(
        "identify-list-after-fffffffe",
        0x06,
        INVALID_NAMESPACE,
        "§5.15.2.3",
        nsid=BROADCAST - 1,
        cdw={10: 2},
    ),
    admin("identify-descriptors-0", 0x06, INVALID_NAMESPACE, "§5.15.2.4", cdw={10: 3}),
    admin(
        "identify-descriptors-inactive",
        0x06,
        INVALID_FIELD,
        "§6.1.5",
        nsid=INACTIVE,
        cdw={10: 3},
    ),
    admin(
        "identify-prp1-not-dword-aligned",
        0x06,
        PRP_OFFSET,
        "§4.3",
        qemu=SUCCESS,
        prp1=Address(2),
        prp2=Address(0x1000),
        cdw={10: 1},
    ),
    admin(
        "identify-prp2-offset",
        0x06,
        PRP_OFFSET,
        "§4.3",
        prp1=Address(0x800),
        prp2=Address(0x1008),
        cdw={10: 1},
    ),
    admin(
        "identify-unmapped",
        0x06,
        DATA_TRANSFER_ERROR,
        "figure 126",
        qemu="skip",
        prp1=UNMAPPED,
        cdw={10: 1},
    ),
)

_CREATE_CQ = (
    admin("create-cq-qid-0", 0x05, QUEUE_ID, "§5.3", cdw={**_qid(0), 11: 1}),
    admin("create-cq-qid-taken", 0x05, QUEUE_ID, "§5.3", cdw={**_qid(1), 11: 1}),
    admin("create-cq-qid-too-large", 0x05, QUEUE_ID, "§5.3", cdw={**_qid(0xFFFF), 11: 1}),
    admin("create-cq-size-0", 0x05, QUEUE_SIZE, "§5.3", cdw={**_qid(2, 0), 11: 1}),
    admin("create-cq-size-too-large", 0x05, QUEUE_SIZE, "§5.3", cdw={**_qid(2, 0xFFFF), 11: 1}),
    admin(
        "create-cq-prp-offset",
        0x05,
        PRP_OFFSET,
        "§5.3",
        prp1=Address(0x40),
        cdw={**_qid(2), 11: 1},
    ),
    admin(
        "create-cq-vector", 0x05, INTERRUPT_VECTOR, "§5.3", cdw={**_qid(2), 11: 0xFFFF << 16 | 3}
    ),
    admin("create-cq-not-contiguous", 0x05, INVALID_FIELD, "§5.3, CAP.CQR", cdw=_qid(2)),
)

_CREATE_SQ = (
    admin("create-sq-cq-0", 0x01, QUEUE_ID, "§5.4", qemu=CQ_INVALID, cdw={**_qid(2), 11: 1}),
    admin(
        "create-sq-cq-too-large",
        0x01,
        QUEUE_ID,
        "§5.4",
        qemu=CQ_INVALID,
        cdw={**_qid(2), 11: 0xFFFF << 16 | 1},
    ),
    admin("create-sq-cq-missing", 0x01, CQ_INVALID, "§5.4", cdw={**_qid(2), 11: 2 << 16 | 1}),
    admin("create-sq-qid-0", 0x01, QUEUE_ID, "§5.4", cdw={**_qid(0), 11: _PC_AND_CQ1}),
    admin("create-sq-qid-taken", 0x01, QUEUE_ID, "§5.4", cdw={**_qid(1), 11: _PC_AND_CQ1}),
    admin("create-sq-qid-too-large", 0x01, QUEUE_ID, "§5.4", cdw={**_qid(0xFFFF), 11: _PC_AND_CQ1}),
    admin("create-sq-size-0", 0x01, QUEUE_SIZE, "§5.4", cdw={**_qid(2, 0), 11: _PC_AND_CQ1}),
    admin(
        "create-sq-size-too-large",
        0x01,
        QUEUE_SIZE,
        "§5.4",
        cdw={**_qid(2, 0xFFFF), 11: _PC_AND_CQ1},
    ),
    admin(
        "create-sq-prp-offset",
        0x01,
        PRP_OFFSET,
        "§5.4",
        prp1=Address(0x40),
        cdw={**_qid(2), 11: _PC_AND_CQ1},
    ),
    admin("create-sq-not-contiguous", 0x01, INVALID_FIELD, "§5.4", cdw={**_qid(2), 11: 1 << 16}),
)

_DELETE = (
    admin("delete-sq-0", 0x00, QUEUE_ID, "§5.6"),
    admin("delete-sq-missing", 0x00, QUEUE_ID, "§5.6", cdw={10: 2}),
    admin("delete-cq-0", 0x04, QUEUE_ID, "§5.5", qemu=CQ_INVALID),
    admin("delete-cq-missing", 0x04, QUEUE_ID, "§5.5", qemu=CQ_INVALID, cdw={10: 2}),
    admin("delete-cq-in-use", 0x04, QUEUE_DELETION, "§5.5", cdw={10: 1}),
)

_LOGS = (
    admin("log-reserved", 0x02, LOG_PAGE, "§5.14", qemu=INVALID_FIELD, cdw={10: 0x6F}),
    admin("log-offset-not-dword", 0x02, INVALID_FIELD, "§5.14", nsid=BROADCAST, cdw={10: 2, 12: 2}),
    admin(
        "log-offset-beyond-end",
        0x02,
        INVALID_FIELD,
        "§5.14",
        nsid=BROADCAST,
        cdw={10: 2, 12: 0x10000},
    ),
    admin("log-larger-than-mdts", 0x02, INVALID_FIELD, "§5.14", cdw={10: 1, 11: 0x7FFF}),
    admin(
        "log-health-controller",
        0x02,
        SUCCESS,
        "§5.14.1.2",
        nsid=BROADCAST,
        cdw={10: 0x7F << 16 | 2},
    ),
    admin(
        "log-health-nsid-0",
        0x02,
        SUCCESS,
        "§5.14.1.2: 0h is the controller",
        qemu=INVALID_NAMESPACE,
        cdw={10: 0x7F << 16 | 2},
    ),
    admin("log-health-inactive", 0x02, INVALID_NAMESPACE, "§5.14", nsid=INACTIVE, cdw={10: 2}),
    admin("log-health-beyond-nn", 0x02, INVALID_NAMESPACE, "§5.14", nsid=BEYOND_NN, cdw={10: 2}),
)

_SET = (
    admin("set-feature-0", 0x09, INVALID_FIELD, "§5.21"),
    admin("set-feature-unknown", 0x09, INVALID_FIELD, "§5.21", cdw={10: 0x7F}),
    admin("set-feature-save", 0x09, NOT_SAVEABLE, "§5.21.1", cdw={10: 1 << 31 | 0x06, 11: 1}),
    admin(
        "set-feature-of-namespace",
        0x09,
        NOT_NAMESPACE_SPECIFIC,
        "§5.21.1",
        nsid=1,
        cdw={10: 0x06, 11: 1},
    ),
    admin(
        "set-feature-beyond-nn",
        0x09,
        INVALID_NAMESPACE,
        "§5.21.1",
        nsid=BEYOND_NN,
        cdw={10: 0x06, 11: 1},
    ),
    admin("set-error-recovery-0", 0x09, INVALID_NAMESPACE, "§5.21.1.5", cdw={10: 0x05}),
    admin(
        "set-error-recovery-inactive",
        0x09,
        INVALID_FIELD,
        "§5.21.1.5",
        nsid=INACTIVE,
        cdw={10: 0x05},
    ),
    admin(
        "set-temperature-select",
        0x09,
        INVALID_FIELD,
        "§5.21.1.4",
        cdw={10: 0x04, 11: 2 << 20},
    ),
    admin("set-queues-too-late", 0x09, SEQUENCE_ERROR, "§5.21.1.7", cdw={10: 0x07, 11: 0x10001}),
    admin(
        "set-arbitration",
        0x09,
        SUCCESS,
        "§5.21.1.1",
        qemu=NOT_CHANGEABLE,
        cdw={10: 0x01, 11: 0x7},
    ),
    admin(
        "set-power-state-unknown",
        0x09,
        INVALID_FIELD,
        "§5.21.1.2",
        qemu=NOT_CHANGEABLE,
        cdw={10: 0x02, 11: 0x1F},
    ),
    admin(
        "set-interrupt-coalescing",
        0x09,
        SUCCESS,
        "§5.21.1.8",
        qemu=NOT_CHANGEABLE,
        cdw={10: 0x08},
    ),
    admin(
        "set-interrupt-vector",
        0x09,
        SUCCESS,
        "§5.21.1.9",
        qemu=NOT_CHANGEABLE,
        cdw={10: 0x09, 11: 1},
    ),
)

_GET = (
    admin("get-feature-0", 0x0A, INVALID_FIELD, "§5.13"),
    admin("get-feature-unknown", 0x0A, INVALID_FIELD, "§5.13", cdw={10: 0x7F}),
    admin(
        "get-feature-select-reserved",
        0x0A,
        INVALID_FIELD,
        "figure 176",
        qemu=SUCCESS,
        cdw={10: 5 << 8 | 0x06},
    ),
    admin("get-error-recovery-0", 0x0A, INVALID_NAMESPACE, "§5.21.1.5", cdw={10: 0x05}),
    admin(
        "get-error-recovery-inactive",
        0x0A,
        INVALID_FIELD,
        "§5.21.1.5",
        nsid=INACTIVE,
        cdw={10: 0x05},
    ),
    admin("get-temperature-select", 0x0A, INVALID_FIELD, "§5.21.1.4", cdw={10: 0x04, 11: 3 << 20}),
    admin("get-vector-unknown", 0x0A, INVALID_FIELD, "§5.21.1.9", cdw={10: 0x09, 11: 0xFFFF}),
)

_OTHER_ADMIN = (
    admin("abort-unknown-queue", 0x08, INVALID_FIELD, "§5.1", cdw={10: 0xFFFF}),
    admin("abort-unknown-command", 0x08, SUCCESS, "§5.1", cdw={10: 0xFFFF << 16 | 1}, dw0=1),
    admin("format-namespace-0", 0x80, INVALID_NAMESPACE, "§5.23"),
    admin("format-inactive", 0x80, INVALID_FIELD, "§5.23", nsid=INACTIVE),
    admin("format-unknown-lbaf", 0x80, FORMAT, "§5.23", nsid=1, cdw={10: 15}),
    admin("format-protection", 0x80, FORMAT, "§5.23", nsid=1, cdw={10: 1 << 5}),
)

_READ_ZEROES_BEFORE = io("zero-block-0", 0x08, SUCCESS, "§6.17", writes=True)

_IO = (
    io("read", 0x02, SUCCESS, "§6.9"),
    io("flush", 0x00, SUCCESS, "§6.8"),
    io("flush-broadcast", 0x00, SUCCESS, "§6.8, VWC bits 2:1", nsid=BROADCAST),
    io("flush-namespace-0", 0x00, INVALID_NAMESPACE, "§6.1.2", nsid=0),
    io("flush-inactive", 0x00, INVALID_FIELD, "§6.1.5", nsid=INACTIVE),
    io("io-opcode-reserved", 0x7F, INVALID_OPCODE, "§4.6.1"),
    io("reservation-register", 0x0D, INVALID_OPCODE, "§6.11, ONCS bit 5"),
    io("verify", 0x0C, INVALID_OPCODE, "§6.14, ONCS bit 7", qemu=SUCCESS),
    io("read-namespace-0", 0x02, INVALID_NAMESPACE, "§6.1.2", nsid=0),
    io("read-broadcast", 0x02, INVALID_NAMESPACE, "§6.1.2", qemu="skip", nsid=BROADCAST),
    io("read-beyond-nn", 0x02, INVALID_NAMESPACE, "§6.1.2", nsid=BEYOND_NN),
    io("read-inactive", 0x02, INVALID_FIELD, "§6.1.5", nsid=INACTIVE),
    io("read-fused", 0x02, INVALID_FIELD, "FUSES", flags=0x01),
    io("read-sgl", 0x02, INVALID_FIELD, "SGLS", qemu=DATA_SGL_LENGTH, flags=0x40),
    io("read-psdt-reserved", 0x02, INVALID_FIELD, "figure 105", flags=0xC0),
    *(
        io(f"{name}-beyond-end", opcode, LBA_OUT_OF_RANGE, "§4.6.1.2.1", cdw={11: 1 << 31})
        for name, opcode in (("read", 2), ("write", 1), ("compare", 5), ("write-zeroes", 8))
    ),
    *(
        io(f"{name}-lba-wraps", opcode, LBA_OUT_OF_RANGE, "§4.6.1.2.1", cdw=_HIGHEST)
        for name, opcode in (("read", 2), ("write", 1), ("compare", 5), ("write-zeroes", 8))
    ),
    *(
        io(f"{name}-larger-than-mdts", opcode, INVALID_FIELD, "MDTS", cdw={12: 0xFFFF})
        for name, opcode in (("read", 2), ("write", 1), ("compare", 5))
    ),
    io("read-prp1-not-dword-aligned", 0x02, PRP_OFFSET, "§4.3", qemu=SUCCESS, prp1=Address(2)),
    io(
        "read-prp2-offset",
        0x02,
        PRP_OFFSET,
        "§4.3",
        prp2=Address(0x1008),
        transfer=0x2000,
    ),
    io(
        "read-prp-list",
        0x02,
        SUCCESS,
        "§4.3",
        prp_list=(Address(0x1000), Address(0x2000)),
        transfer=0x3000,
    ),
    io(
        "read-prp-list-entry-offset",
        0x02,
        PRP_OFFSET,
        "§4.3",
        prp_list=(Address(0x1000), Address(0x2008)),
        transfer=0x3000,
    ),
    io(
        "read-prp-list-not-qword-aligned",
        0x02,
        PRP_OFFSET,
        "§4.3",
        qemu="skip",
        prp2=Address(_LIST_AT + 4),
        transfer=0x3000,
    ),
    io(
        "read-prp-list-unmapped",
        0x02,
        DATA_TRANSFER_ERROR,
        "figure 126",
        prp2=UNMAPPED,
        transfer=0x3000,
    ),
    io("read-unmapped", 0x02, DATA_TRANSFER_ERROR, "figure 126", qemu="skip", prp1=UNMAPPED),
    io("write-unmapped", 0x01, DATA_TRANSFER_ERROR, "figure 126", qemu="skip", prp1=UNMAPPED),
    io(
        "compare-differs",
        0x05,
        COMPARE_FAILURE,
        "§6.6",
        fill=0xA5,
        before=_READ_ZEROES_BEFORE,
        writes=True,
    ),
    io("compare-equal", 0x05, SUCCESS, "§6.6", before=_READ_ZEROES_BEFORE, writes=True),
    io("deallocate-hints-only", 0x09, SUCCESS, "§6.7", cdw={11: 1}),
    io(
        "deallocate-beyond-end",
        0x09,
        LBA_OUT_OF_RANGE,
        "§4.6.1.2.1",
        qemu=SUCCESS,
        fill=0x7F,
        cdw={11: 4},
    ),
    io(
        "write-uncorrectable",
        0x04,
        SUCCESS,
        "§6.16, ONCS bit 1",
        qemu=INVALID_OPCODE,
        cdw={10: 8},
        writes=True,
    ),
)

CASES: tuple[Case, ...] = (
    *_GENERAL,
    *_IDENTIFY,
    *_CREATE_CQ,
    *_CREATE_SQ,
    *_DELETE,
    *_LOGS,
    *_SET,
    *_GET,
    *_OTHER_ADMIN,
    *_IO,
)
