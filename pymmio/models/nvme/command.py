"""Submission and completion queue entries (NVMe Base 1.4 §4.2, §4.6; Base 2.0 §3.3.3)."""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["COMPLETION", "COMPLETION_SIZE", "SUBMISSION", "SUBMISSION_SIZE", "Command"]

SUBMISSION = struct.Struct("<BBHIQQQQIIIIII")
SUBMISSION_SIZE = 64
COMPLETION = struct.Struct("<IIHHHH")  # DW0, DW1, SQ head, SQ identifier, CID, status and phase
COMPLETION_SIZE = 16
assert SUBMISSION.size == SUBMISSION_SIZE
assert COMPLETION.size == COMPLETION_SIZE


class Command(NamedTuple):
    """The 64 bytes of a submission queue entry, in their order."""

    opcode: int
    flags: int  #: FUSE in bits 1:0, PSDT in bits 7:6
    cid: int
    nsid: int
    cdw2_3: int
    mptr: int
    prp1: int
    prp2: int
    cdw10: int
    cdw11: int
    cdw12: int
    cdw13: int
    cdw14: int
    cdw15: int

    @property
    def fuse(self) -> int:
        """Fused operation; this controller has none (FUSES is 0)."""
        return self.flags & 0x3

    @property
    def psdt(self) -> int:
        """PRP or SGL; 0 is PRP, the only one that this controller has (SGLS is 0)."""
        return self.flags >> 6
