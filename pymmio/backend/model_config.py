"""The configuration space of a device model, for whoever serves it.

Built from the model's identity: header, BARs with sizing, power management, MSI, MSI-X and
PCI Express capabilities.  Writes change only the bits that are writable.
"""

from __future__ import annotations

import struct

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.backend.model_rules import MSIX_ENTRY, msix_table_size, require_possible
from pymmio.errors import DeclarationError

__all__ = ["ConfigModel", "msix_table_size"]

SIZE = 4096
COMMAND = 0x04
STATUS = 0x06
INTX_STATUS = 1 << 3  # PCI Local Bus 3.0, 6.2.3
CAP_LIST = 1 << 4
COMMAND_WRITABLE = 0x0547  # I/O, memory, master, parity, SERR, INTx disable
MEMORY, MASTER, INTX_DISABLE = 1 << 1, 1 << 2, 1 << 10
POWER_STATE = 0x0003  # PMCSR, PCI Power Management 1.2, 3.2.4; 0 is D0
MSI_ENABLE = 1 << 0  # Message Control, PCI Local Bus 3.0, 6.8.1.3
MSIX_ENABLE = 1 << 15  # Message Control, 6.8.2.3
INITIATE_RESET = 1 << 15  # Device Control, PCI Express 5.0, 7.5.3.4


class ConfigModel:
    """4096 bytes of configuration space; reads and writes of 1, 2 and 4 bytes."""

    def __init__(self, model: DeviceModel) -> None:
        """Raises DeclarationError for what no PCI function can be."""
        require_possible(model)
        self._model = model
        self._bytes = bytearray(SIZE)
        self._writable = bytearray(SIZE)
        self._w1c = bytearray(SIZE)
        self.msi_offset: int | None = None
        self.msix_offset: int | None = None
        self.express_offset: int | None = None
        self._header()
        self._bars()
        self._capabilities()
        self._initial = bytes(self._bytes)

    def reset(self) -> None:
        """Return to the state after power-on."""
        self._bytes[:] = self._initial

    # --- accesses ------------------------------------------------------------------------

    def read(self, offset: int, width: int) -> int:
        """Return the little-endian number at the offset."""
        return int.from_bytes(self._bytes[offset : offset + width], "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """Write the writable bits, clear the W1C bits that are written as 1."""
        for at, byte in enumerate(value.to_bytes(width, "little"), offset):
            mask = self._writable[at]
            kept = self._bytes[at] & ~mask & ~(byte & self._w1c[at])
            self._bytes[at] = kept | byte & mask

    @property
    def command(self) -> int:
        """The COMMAND register."""
        return self.read(COMMAND, 2)

    @property
    def is_memory_on(self) -> bool:
        """Whether BARs answer."""
        return bool(self.command & MEMORY)

    @property
    def is_awake(self) -> bool:
        """Whether the function is in D0; in any other power state BARs do not answer."""
        return not self.read(self._pmcsr, 2) & POWER_STATE

    @property
    def is_master_on(self) -> bool:
        """Whether the device may access memory and send messages."""
        return bool(self.command & MASTER)

    @property
    def is_intx_on(self) -> bool:
        """Whether the interrupt pin may be asserted."""
        return not self.command & INTX_DISABLE

    def asks_for_reset(self, offset: int, width: int, value: int) -> bool:
        """Tell whether a write initiates a function-level reset."""
        if self.express_offset is None:
            return False
        at = self.express_offset + 8 - offset
        shifted = value << 8 * -at if at < 0 else value >> 8 * at
        return -1 <= at < width and bool(shifted & INITIATE_RESET)

    def set_intx_status(self, is_asserted: bool) -> None:
        """Show the state of the interrupt in STATUS."""
        self._bytes[STATUS] = self._bytes[STATUS] & ~INTX_STATUS | is_asserted * INTX_STATUS

    def set_msi_enable(self, on: bool) -> None:
        """Show in the MSI capability whether messages are enabled."""
        if self.msi_offset is not None:
            self._switch(self.msi_offset + 2, MSI_ENABLE, on)

    def set_msix_enable(self, on: bool) -> None:
        """Show in the MSI-X capability whether messages are enabled."""
        if self.msix_offset is not None:
            self._switch(self.msix_offset + 2, MSIX_ENABLE, on)

    def _switch(self, offset: int, bits: int, on: bool) -> None:
        value = self.read(offset, 2)
        self._put("<H", offset, value | bits if on else value & ~bits)

    # --- building --------------------------------------------------------------------------

    def _put(self, form: str, offset: int, *values: int) -> None:
        struct.pack_into(form, self._bytes, offset, *values)

    def _let_write(self, form: str, offset: int, *masks: int) -> None:
        struct.pack_into(form, self._writable, offset, *masks)

    def _header(self) -> None:
        model = self._model
        self._put("<HH", 0x00, model.vendor_id, model.device_id)
        self._put("<I", 0x08, model.class_code << 8 | model.revision_id)
        self._put("<HH", 0x2C, model.subsystem_vendor_id, model.subsystem_id)
        self._put("<B", 0x3D, 1 if model.has_intx else 0)
        self._let_write("<H", COMMAND, COMMAND_WRITABLE)
        self._let_write("<BB", 0x0C, 0xFF, 0)  # cache line size
        self._let_write("<B", 0x3C, 0xFF)  # interrupt line
        struct.pack_into("<H", self._w1c, STATUS, 0xF900)  # error bits

    def _bars(self) -> None:
        for bar in self._model.bars:
            self._put("<I", 0x10 + 4 * bar.index, _bar_flags(bar))
            mask = (1 << (64 if bar.is_64bit else 32)) - bar.size
            self._let_write("<I", 0x10 + 4 * bar.index, mask & 0xFFFF_FFF0)
            if bar.is_64bit:
                self._let_write("<I", 0x14 + 4 * bar.index, mask >> 32)

    def _capabilities(self) -> None:
        """Chain the capabilities from 0x40 on; each is 4-byte aligned."""
        model, link, at = self._model, 0x34, 0x40

        def add(identity: int, size: int) -> int:
            nonlocal link, at
            if at + size > 0x100:
                raise DeclarationError(
                    f"{type(model).__name__}: its capabilities do not fit 256 bytes"
                )
            self._put("<B", link, at)
            self._put("<B", at, identity)
            here, link = at, at + 1
            at += (size + 3) & ~3
            return here

        power = add(0x01, 8)  # PCI Power Management 1.2, 3.2
        self._put("<H", power + 2, 0x0003)  # version 3
        self._pmcsr = power + 4
        self._let_write("<H", power + 4, POWER_STATE)
        self._put("<H", power + 4, 0x0008)  # no soft reset
        if model.msi_vectors:
            self.msi_offset = msi = add(0x05, 14)
            capable = (model.msi_vectors - 1).bit_length()
            self._put("<H", msi + 2, 1 << 7 | capable << 1)  # 64-bit addresses
            self._let_write("<H", msi + 2, 0x0070)
            self._let_write("<IIH", msi + 4, 0xFFFF_FFFC, 0xFFFF_FFFF, 0xFFFF)
        if model.msix_vectors:
            self.msix_offset = msix = add(0x11, 12)
            table = model.msix_offset
            pba = table + model.msix_vectors * MSIX_ENTRY
            self._put("<H", msix + 2, model.msix_vectors - 1)
            self._put("<II", msix + 4, table | (model.msix_bar or 0), pba | (model.msix_bar or 0))
            self._let_write("<H", msix + 2, 0x4000)  # function mask
        if model.is_pcie:
            self.express_offset = express = add(0x10, 60)  # PCI Express 5.0, 7.5.3
            self._put("<H", express + 2, 0x0002)  # version 2, endpoint
            self._put("<I", express + 4, 1 << 28 | 1 << 15)  # FLR, role-based errors
            self._put("<I", express + 0x0C, 0x0000_0011)  # 2.5 GT/s, x1
            self._put("<H", express + 0x12, 0x0011)
        for body in model.vendor_capabilities:  # PCI Local Bus 3.0, appendix H
            vendor = add(0x09, 3 + len(body))
            self._put("<B", vendor + 2, 3 + len(body))
            self._bytes[vendor + 3 : vendor + 3 + len(body)] = body
        self._put("<H", STATUS, CAP_LIST)


def _bar_flags(bar: BarSpec) -> int:
    return (0x4 if bar.is_64bit else 0) | (0x8 if bar.prefetchable else 0)
