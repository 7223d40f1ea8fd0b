"""Interrupts of a device (vfio-user 0.1, DEVICE_GET_IRQ_INFO and DEVICE_SET_IRQS)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from pymmio.backend.vfio_user.messages.wire import U32_MAX, check_range, check_size, layout, take
from pymmio.errors import ProtocolError

__all__ = [
    "IrqAction",
    "IrqData",
    "IrqFlags",
    "IrqIndex",
    "IrqInfo",
    "SetIrqs",
]

_INFO = layout("IIII")
_SET = layout("IIIII")
_DATA_MASK = 0x7
_ACTION_MASK = 0x38


class IrqIndex(enum.IntEnum):
    """The kinds of interrupts of a PCI device (linux/vfio.h)."""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERR = 3
    REQ = 4


class IrqFlags(enum.IntFlag):
    """Attributes of a kind of interrupt (linux/vfio.h, struct vfio_irq_info)."""

    EVENTFD = 0x1
    MASKABLE = 0x2
    AUTOMASKED = 0x4
    NORESIZE = 0x8


@dataclass(frozen=True, slots=True)
class IrqInfo:
    """DEVICE_GET_IRQ_INFO: the request (``flags`` and ``count`` are 0) and the reply."""

    index: int
    flags: int = 0
    count: int = 0
    argsz: int = _INFO.size

    def pack(self) -> bytes:
        return _INFO.pack(self.argsz, self.flags, self.index, self.count)

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        argsz, flags, index, count = take(_INFO, payload, "DEVICE_GET_IRQ_INFO")
        if argsz < _INFO.size:
            raise ProtocolError(f"DEVICE_GET_IRQ_INFO with room for {argsz} bytes")
        return cls(index, flags, count, argsz)


class IrqData(enum.IntEnum):
    """What comes with a SET_IRQS."""

    NONE = 0x1  #: nothing: the action is for all ``count`` interrupts
    BOOL = 0x2  #: a byte for each: whether it is meant
    EVENTFD = 0x4  #: a descriptor for each; no descriptors at all: none any more


class IrqAction(enum.IntEnum):
    """What a SET_IRQS is for."""

    MASK = 0x8
    UNMASK = 0x10
    TRIGGER = 0x20


@dataclass(frozen=True, slots=True)
class SetIrqs:
    """Set up, mask, unmask or trigger ``count`` interrupts of a kind, from ``start`` on.

    TRIGGER with NONE and ``count`` 0 switches all of the kind off.  ``chosen`` is the booleans
    of BOOL.  The descriptors of EVENTFD travel beside the message.
    """

    index: int
    data: IrqData
    action: IrqAction
    start: int
    count: int
    chosen: tuple[bool, ...] = ()

    def pack(self) -> bytes:
        flags = self.data | self.action
        size = _SET.size + len(self.chosen)
        head = _SET.pack(size, flags, self.index, self.start, self.count)
        return head + bytes(self.chosen)

    @classmethod
    def parse(cls, payload: bytes, fd_count: int) -> Self:
        """Parse a request that came with ``fd_count`` descriptors.

        Raises ProtocolError where flags exclude each other, or data, descriptors and
        ``count`` disagree.  Whether the device has such interrupts is for the caller to say.
        """
        what = "DEVICE_SET_IRQS"
        argsz, flags, index, start, count = take(_SET, payload, what)
        if argsz < _SET.size or argsz > len(payload):
            raise ProtocolError(f"{what} claims {argsz} bytes of {len(payload)}")
        try:
            data, action = IrqData(flags & _DATA_MASK), IrqAction(flags & _ACTION_MASK)
        except ValueError:
            data = None
        if data is None or flags & ~(_DATA_MASK | _ACTION_MASK):
            raise ProtocolError(f"{what} with flags {flags:#x}: one of data, one of action")
        check_range(start, count, U32_MAX, what)
        chosen: tuple[bool, ...] = ()
        if data is IrqData.BOOL:
            check_size(payload, _SET.size + count, f"{what} of {count} booleans")
            chosen = tuple(byte != 0 for byte in payload[_SET.size :])
        if fd_count not in ((0, count) if data is IrqData.EVENTFD else (0,)):
            raise ProtocolError(f"{what} of {count} interrupts with {fd_count} descriptors")
        return cls(index, data, action, start, count, chosen)
