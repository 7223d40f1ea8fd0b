"""Controller registers: offsets, what they read as, and which accesses are defined.

Sources: NVMe Base 1.4 §3.1, Base 2.0 §3.1.3 and the PCIe Transport 1.0 §3.1: accesses are
aligned and 4 bytes wide, or 8 bytes wide where a register is; everything else is
undefined.  This controller then reads as 0, ignores the write, and keeps a note.
"""

from __future__ import annotations

from pymmio.models.nvme.options import NvmeOptions

__all__ = ["Registers", "capabilities"]

CAP = 0x00
VS = 0x08
INTMS = 0x0C
INTMC = 0x10
CC = 0x14
CSTS = 0x1C
NSSR = 0x20
AQA = 0x24
ASQ = 0x28
ASQ_HIGH = 0x2C
ACQ = 0x30
ACQ_HIGH = 0x34
CRTO = 0x68  # since 2.0
DOORBELLS = 0x1000

#: 64-bit registers: CAP, ASQ, ACQ, BPMBL, CMBMSC, PMRMSC is two 32-bit ones
_WIDE = frozenset({CAP, ASQ, ACQ, 0x48, 0x50})

CC_EN = 1 << 0
CSTS_RDY = 1 << 0
CSTS_CFS = 1 << 1
CSTS_SHST_OCCURRING = 1 << 2
CSTS_SHST_COMPLETE = 2 << 2
CSTS_SHST_MASK = 3 << 2
CSTS_NSSRO = 1 << 4

_LOW32 = 0xFFFF_FFFF


def capabilities(options: NvmeOptions) -> int:
    """Return CAP (Base 1.4 §3.1.1, Base 2.0 §3.1.3.1)."""
    cap = options.mqes
    cap |= 1 << 16  # CQR: queues are physically contiguous
    cap |= options.to << 24
    cap |= options.dstrd << 32
    cap |= int(options.nssr) << 36
    cap |= 1 << 37  # CSS: NVM command set
    cap |= options.mpsmax << 52  # MPSMIN (bits 51:48) is 0: 4 KiB
    if options.is_2_0:
        cap |= 1 << 59  # CRMS: Controller Ready With Media Support, so CRTO exists
    return cap


class Registers:
    """The values of the registers, and reads of them; the controller acts on writes."""

    def __init__(self, options: NvmeOptions) -> None:
        self.cap = capabilities(options)
        self.version = options.vs
        self.crto = options.to if options.is_2_0 else 0  # CRWMT in bits 15:0, 500 ms units
        self.power_on()

    def power_on(self) -> None:
        """Set all registers to what a reset of the function leaves."""
        self.aqa = 0
        self.asq = 0
        self.acq = 0
        self.controller_reset()
        self.csts = 0

    def controller_reset(self) -> None:
        """Set what a controller reset does: all but AQA, ASQ, ACQ (Base 1.4 §7.3.2)."""
        self.interrupt_mask = 0
        self.cc = 0
        self.csts &= CSTS_NSSRO

    csts: int = 0

    @property
    def is_enabled(self) -> bool:
        return bool(self.cc & CC_EN)

    @property
    def page_size(self) -> int:
        """CC.MPS in bytes."""
        return 4096 << (self.cc >> 7 & 0xF)

    def read(self, offset: int, width: int) -> int | None:
        """Return the value, or None where the access is undefined."""
        if offset & (width - 1):
            return None
        if width == 4:
            return self._word(offset)
        if width == 8 and (offset in _WIDE or offset >= 0x70):
            return self._word(offset) | self._word(offset + 4) << 32
        return None

    def _word(self, offset: int) -> int:
        match offset:
            case 0x00:  # CAP
                return self.cap & _LOW32
            case 0x04:
                return self.cap >> 32
            case 0x08:  # VS
                return self.version
            case 0x0C | 0x10:  # INTMS, INTMC
                return self.interrupt_mask
            case 0x14:  # CC
                return self.cc
            case 0x1C:  # CSTS
                return self.csts
            case 0x24:  # AQA
                return self.aqa
            case 0x28:  # ASQ
                return self.asq & _LOW32
            case 0x2C:
                return self.asq >> 32
            case 0x30:  # ACQ
                return self.acq & _LOW32
            case 0x34:
                return self.acq >> 32
            case 0x68:  # CRTO
                return self.crto
        return 0  # NSSR, CMBLOC, CMBSZ, boot partitions, PMR: not there; reserved: 0

    def is_defined_write(self, offset: int, width: int) -> bool:
        """Tell whether a write of this width is one that the specification defines."""
        if offset & (width - 1):
            return False
        return width == 4 or (width == 8 and offset in _WIDE)

    def write_admin_queue(self, offset: int, width: int, value: int) -> bool:
        """Take a write to AQA, ASQ or ACQ; False if the offset is none of these."""
        match offset, width:
            case 0x24, _:
                self.aqa = value & 0x0FFF_0FFF
            case 0x28, 8:
                self.asq = value
            case 0x28, _:
                self.asq = (self.asq & ~_LOW32) | value
            case 0x2C, _:
                self.asq = (self.asq & _LOW32) | value << 32
            case 0x30, 8:
                self.acq = value
            case 0x30, _:
                self.acq = (self.acq & ~_LOW32) | value
            case 0x34, _:
                self.acq = (self.acq & _LOW32) | value << 32
            case _:
                return False
        return True
