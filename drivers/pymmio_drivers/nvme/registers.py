"""Registers of an NVMe controller (NVMe Base 2.0 §3.1.3; doorbells: NVMe over PCIe Transport 1.0
§3.1.2).

CAP, VS, CSTS read as all ones only where the device does not answer: DeviceGone.
"""

from __future__ import annotations

import enum

from pymmio.regs import RO, RW, W1C, W1S, Field, Reg, Register, RegisterFile

__all__ = [
    "ACQ",
    "AQA",
    "ASQ",
    "CAP",
    "CC",
    "CRTO",
    "CSTS",
    "DOORBELL_BASE",
    "INTMC",
    "INTMS",
    "VS",
    "CommandSet",
    "Registers",
    "Shutdown",
    "ShutdownStatus",
    "cq_doorbell_offset",
    "sq_doorbell_offset",
]

DOORBELL_BASE = 0x1000


class CommandSet(enum.IntEnum):
    """CC.CSS: which I/O command sets are selected."""

    NVM = 0
    ALL = 6  #: all sets that the controller supports
    ADMIN_ONLY = 7


class Shutdown(enum.IntEnum):
    """CC.SHN: shutdown notification."""

    NONE = 0
    NORMAL = 1
    ABRUPT = 2


class ShutdownStatus(enum.IntEnum):
    """CSTS.SHST: how far a shutdown is."""

    NORMAL_OPERATION = 0
    OCCURRING = 1
    COMPLETE = 2


class CAP(Register, offset=0x00, width=64, access=RO, all_ones_means_gone=True):
    """Controller Capabilities (§3.1.3.1)."""

    mqes = Field(bits=(0, 15), doc="maximum queue entries supported, minus 1")
    cqr = Field(bit=16, doc="queues must be contiguous")
    ams = Field(bits=(17, 18), doc="arbitration mechanisms supported")
    to = Field(bits=(24, 31), doc="longest time to become ready, in 500 ms")
    dstrd = Field(bits=(32, 35), doc="doorbell stride is 4 << dstrd bytes")
    nssrs = Field(bit=36, doc="NVM subsystem reset supported")
    css = Field(bits=(37, 44), doc="command sets: bit 0 NVM, bit 6 others too, bit 7 admin only")
    bps = Field(bit=45, doc="boot partitions supported")
    cps = Field(bits=(46, 47), doc="controller power scope")
    mpsmin = Field(bits=(48, 51), doc="smallest memory page is 4096 << mpsmin bytes")
    mpsmax = Field(bits=(52, 55), doc="largest memory page is 4096 << mpsmax bytes")
    pmrs = Field(bit=56, doc="persistent memory region supported")
    cmbs = Field(bit=57, doc="controller memory buffer supported")
    nsss = Field(bit=58, doc="NVM subsystem shutdown supported")
    crwms = Field(bit=59, doc="CRMS: ready with media; CRTO exists")
    crims = Field(bit=60, doc="CRMS: ready independent of media")


class VS(Register, offset=0x08, width=32, access=RO, all_ones_means_gone=True):
    """Version (§3.1.3.2)."""

    ter = Field(bits=(0, 7), doc="tertiary version number")
    mnr = Field(bits=(8, 15), doc="minor version number")
    mjr = Field(bits=(16, 31), doc="major version number")


class INTMS(Register, offset=0x0C, width=32, access=W1S):
    """Interrupt Mask Set (§3.1.3.3); not to be used with MSI-X."""

    ivms = Field(bits=(0, 31), doc="a 1 masks the vector")


class INTMC(Register, offset=0x10, width=32, access=W1C):
    """Interrupt Mask Clear (§3.1.3.4); not to be used with MSI-X."""

    ivmc = Field(bits=(0, 31), doc="a 1 unmasks the vector")


class CC(Register, offset=0x14, width=32, access=RW, all_ones_means_gone=True):
    """Controller Configuration (§3.1.3.5)."""

    en = Field(bit=0, doc="enable")
    css = Field(bits=(4, 6), enum=CommandSet, doc="I/O command set selected")
    mps = Field(bits=(7, 10), doc="memory page is 4096 << mps bytes")
    ams = Field(bits=(11, 13), doc="arbitration mechanism selected")
    shn = Field(bits=(14, 15), enum=Shutdown, doc="shutdown notification")
    iosqes = Field(bits=(16, 19), doc="I/O submission queue entry is 1 << iosqes bytes")
    iocqes = Field(bits=(20, 23), doc="I/O completion queue entry is 1 << iocqes bytes")
    crime = Field(bit=24, doc="controller ready independent of media enable")


class CSTS(Register, offset=0x1C, width=32, access=RW, all_ones_means_gone=True):
    """Controller Status (§3.1.3.6)."""

    rdy = Field(bit=0, access=RO, doc="ready")
    cfs = Field(bit=1, access=RO, doc="controller fatal status")
    shst = Field(bits=(2, 3), enum=ShutdownStatus, access=RO, doc="shutdown status")
    nssro = Field(bit=4, access=W1C, doc="an NVM subsystem reset occurred")
    pp = Field(bit=5, access=RO, doc="processing paused")
    st = Field(bit=6, access=RO, doc="the shutdown is one of the NVM subsystem")


class AQA(Register, offset=0x24, width=32, access=RW):
    """Admin Queue Attributes (§3.1.3.8); sizes in entries, minus 1."""

    asqs = Field(bits=(0, 11), doc="admin submission queue size, minus 1")
    acqs = Field(bits=(16, 27), doc="admin completion queue size, minus 1")


class ASQ(Register, offset=0x28, width=64, access=RW):
    """Admin Submission Queue Base Address (§3.1.3.9)."""

    asqb = Field(bits=(12, 63), doc="page number of the admin submission queue")


class ACQ(Register, offset=0x30, width=64, access=RW):
    """Admin Completion Queue Base Address (§3.1.3.10)."""

    acqb = Field(bits=(12, 63), doc="page number of the admin completion queue")


class CRTO(Register, offset=0x68, width=32, access=RO):
    """Controller Ready Timeouts; exists where CAP.CRMS is not 0."""

    crwmt = Field(bits=(0, 15), doc="longest time to become ready with media, in 500 ms")
    crimt = Field(bits=(16, 31), doc="the same independent of media, in 500 ms")


class Registers(RegisterFile):
    """What every controller has, up to the doorbells."""

    cap = Reg(CAP)
    vs = Reg(VS)
    intms = Reg(INTMS)
    intmc = Reg(INTMC)
    cc = Reg(CC)
    csts = Reg(CSTS)
    aqa = Reg(AQA)
    asq = Reg(ASQ)
    acq = Reg(ACQ)
    crto = Reg(CRTO)


def sq_doorbell_offset(qid: int, dstrd: int) -> int:
    """Return where the tail of submission queue ``qid`` is written (§3.1.2.1)."""
    return DOORBELL_BASE + 2 * qid * (4 << dstrd)


def cq_doorbell_offset(qid: int, dstrd: int) -> int:
    """Return where the head of completion queue ``qid`` is written (§3.1.2.2)."""
    return DOORBELL_BASE + (2 * qid + 1) * (4 << dstrd)
