"""The IOMMU as a filter: the device reaches the pages that were given to it, and no others.

QEMU's intel-iommu with one table for all devices that maps each page to itself.  All tables of
the lowest level lie one after the other, so they are one array: entry N is that of page N.
Source: Intel VT-d 3.4, sections 3.4 (legacy mode), 9.1, 9.3, 9.8 and 10.4.
"""

from __future__ import annotations

import struct
import time

from pymmio.backend.qtest.machine.layout import GIB, PAGE, RamPlan
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.errors import ProtocolError

__all__ = ["Iommu"]

_REGISTERS = 0xFED9_0000  # where QEMU's q35 has them
_GLOBAL_COMMAND, _GLOBAL_STATUS = 0x18, 0x1C
_ROOT_TABLE, _CONTEXT_COMMAND, _IOTLB = 0x20, 0x28, 0xF8
_SET_ROOT, _TRANSLATE = 1 << 30, 1 << 31  # in command and in status, §10.4.4 and §10.4.5
_FORGET_CONTEXTS = 1 << 63 | 1 << 61  # all of them, §10.4.7
_FORGET_PAGES = 1 << 63 | 1 << 60  # all of them, §10.4.8.1

_PRESENT = 1 << 0  # root and context entries, §9.1 and §9.3
_NO_REPORTS = 1 << 1  # faults are not recorded: nobody reads them
_WIDTH_39_BITS = 1  # address width in the upper half of a context entry
_DOMAIN = 1 << 8
_READ_WRITE = 0b11  # second-level entries, §9.8


class Iommu:
    """Tables in the machine's RAM, at its end; ``memory`` is all of RAM as a file."""

    def __init__(self, channel: QtestChannel, memory: memoryview, plan: RamPlan) -> None:
        self._channel = channel
        self._memory = memory
        self._leaves = plan.tables_at
        spans = plan.reach // GIB
        middle = self._leaves + plan.reach // PAGE * 8
        top = middle + spans * PAGE
        context, root = top + PAGE, top + 2 * PAGE
        self._root = plan.address_of(root)
        self._fill(middle, spans * 512, plan.address_of(self._leaves) | _READ_WRITE)
        self._fill(top, spans, plan.address_of(middle) | _READ_WRITE)
        for function in range(256):
            low = plan.address_of(top) | _NO_REPORTS | _PRESENT
            entry = struct.pack("<QQ", low, _DOMAIN | _WIDTH_39_BITS)
            self._store(context + 16 * function, entry)
        for bus in range(256):
            entry = struct.pack("<QQ", plan.address_of(context) | _PRESENT, 0)
            self._store(root + 16 * bus, entry)

    def switch_on(self) -> None:
        """Translate from now on.  Raises ProtocolError where QEMU does not."""
        self._write(_ROOT_TABLE, 8, self._root)
        self._command(_SET_ROOT)
        self._write(_CONTEXT_COMMAND, 8, _FORGET_CONTEXTS)
        self._write(_IOTLB, 8, _FORGET_PAGES)
        self._command(_TRANSLATE)

    def allow(self, address: int, size: int) -> None:
        """Let the device reach whole pages."""
        entries = range(address | _READ_WRITE, address + size, PAGE)
        self._store(self._leaves + address // PAGE * 8, struct.pack(f"<{len(entries)}Q", *entries))

    def forbid(self, address: int, size: int) -> None:
        """Keep the device from whole pages; returns when it is so."""
        self._store(self._leaves + address // PAGE * 8, bytes(size // PAGE * 8))
        self._write(_IOTLB, 8, _FORGET_PAGES)
        self._channel.settle()

    def _fill(self, offset: int, count: int, first: int) -> None:
        """Write entries that lead to one table after the other."""
        entries = (first + PAGE * index for index in range(count))
        self._store(offset, struct.pack(f"<{count}Q", *entries))

    def _store(self, offset: int, data: bytes) -> None:
        self._memory[offset : offset + len(data)] = data

    def _command(self, bit: int) -> None:
        self._write(_GLOBAL_COMMAND, 4, bit)
        deadline = time.monotonic() + self._channel.timeout_s
        while not self._channel.read(_REGISTERS + _GLOBAL_STATUS, 4) & bit:
            if time.monotonic() > deadline:
                raise ProtocolError(f"QEMU's IOMMU does not take command {bit:#x}")

    def _write(self, register: int, width: int, value: int) -> None:
        self._channel.write(_REGISTERS + register, width, value)
