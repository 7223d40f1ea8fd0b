"""The list of extended capabilities: from header to header, trusting none of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from pymmio.errors import ProtocolError
from pymmio.pci.extcaps.acs import Acs
from pymmio.pci.extcaps.aer import Aer
from pymmio.pci.extcaps.ats import Ats
from pymmio.pci.extcaps.base import (
    ExtendedCapability,
    ExtendedCapabilityHeader,
    ExtendedCapabilityId,
)
from pymmio.pci.extcaps.l1_substates import L1Substates
from pymmio.pci.extcaps.ltr import Ltr
from pymmio.pci.extcaps.ptm import Ptm
from pymmio.pci.extcaps.resizable_bar import ResizableBar
from pymmio.pci.extcaps.serial_number import DeviceSerialNumber
from pymmio.pci.extcaps.sriov import SrIov
from pymmio.pci.header import ConfigRegion

__all__ = ["EXTENDED_FAMILIES", "iter_extended_capabilities", "walk_extended_capabilities"]

EXTENDED_FAMILIES: dict[int, type[ExtendedCapability]] = {
    ExtendedCapabilityId.AER: Aer,
    ExtendedCapabilityId.DEVICE_SERIAL_NUMBER: DeviceSerialNumber,
    ExtendedCapabilityId.ACS: Acs,
    ExtendedCapabilityId.ATS: Ats,
    ExtendedCapabilityId.SR_IOV: SrIov,
    ExtendedCapabilityId.RESIZABLE_BAR: ResizableBar,
    ExtendedCapabilityId.LTR: Ltr,
    ExtendedCapabilityId.L1_PM_SUBSTATES: L1Substates,
    ExtendedCapabilityId.PTM: Ptm,
}
"""Extended capability ids that have a class of their own."""

_FIRST = 0x100  # PCI Express 5.0 §7.6.1
_POINTER_MASK = 0xFFC  # the bottom two bits are reserved and masked, PCI Express 5.0 §7.6.3
_NOTHING = (0x0000_0000, 0xFFFF_FFFF)  # no list (§7.6.1), or nobody answers up there


def iter_extended_capabilities(config: ConfigRegion) -> Iterator[ExtendedCapability]:
    """Follow the list (PCI Express 5.0 §7.6); it is empty in a space of 256 bytes.

    Raises ProtocolError, with the chain up to there, where the list runs in a circle,
    points below 0x100, or has an entry that does not answer; what stands before that was
    given out by then.
    """
    if config.size < ExtendedCapability.space_end:
        return
    if config.read32(_FIRST) in _NOTHING:
        return
    found: list[ExtendedCapability] = []
    seen: set[int] = set()
    pointer = _FIRST
    while pointer:
        if pointer < _FIRST:
            _refuse(f"pointer {pointer:#05x} points below {_FIRST:#x}", found)
        if pointer in seen:
            _refuse(f"pointer {pointer:#05x} was there before: the list is a circle", found)
        seen.add(pointer)
        header = ExtendedCapabilityHeader(config.read32(pointer))
        if int(header) == 0xFFFF_FFFF:
            _refuse(f"nothing answers at {pointer:#05x}", found)
        family = EXTENDED_FAMILIES.get(int(header.id), ExtendedCapability)
        found.append(family(config, pointer, int(header.id), header.version))
        yield found[-1]
        pointer = header.next & _POINTER_MASK


def walk_extended_capabilities(config: ConfigRegion) -> tuple[ExtendedCapability, ...]:
    """Return the whole list; raises as :func:`iter_extended_capabilities` does."""
    return tuple(iter_extended_capabilities(config))


def _refuse(what: str, found: list[ExtendedCapability]) -> NoReturn:
    chain = ", ".join(f"{cap.offset:#05x} {cap.name}" for cap in found) or "empty"
    raise ProtocolError(f"extended capability list: {what}; chain so far: {chain}")
