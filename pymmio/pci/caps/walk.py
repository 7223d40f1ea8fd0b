"""The list of capabilities: from pointer to pointer, trusting none of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from pymmio.errors import ProtocolError
from pymmio.pci.caps.advanced_features import AdvancedFeatures
from pymmio.pci.caps.base import Capability, CapabilityId, capability_name
from pymmio.pci.caps.msi import Msi
from pymmio.pci.caps.msix import MsiX
from pymmio.pci.caps.pcie import PciExpress
from pymmio.pci.caps.power_management import PowerManagement
from pymmio.pci.caps.vendor import VendorSpecific
from pymmio.pci.header import ConfigRegion, HeaderLayout, Offset, Status

__all__ = ["FAMILIES", "iter_capabilities", "walk_capabilities"]

FAMILIES: dict[CapabilityId, type[Capability]] = {
    CapabilityId.POWER_MANAGEMENT: PowerManagement,
    CapabilityId.MSI: Msi,
    CapabilityId.VENDOR_SPECIFIC: VendorSpecific,
    CapabilityId.PCI_EXPRESS: PciExpress,
    CapabilityId.MSI_X: MsiX,
    CapabilityId.ADVANCED_FEATURES: AdvancedFeatures,
}
"""Capability ids that have a class of their own."""

_POINTERS = {
    HeaderLayout.ENDPOINT: Offset.CAPABILITIES_POINTER,
    HeaderLayout.BRIDGE: Offset.CAPABILITIES_POINTER,
    HeaderLayout.CARDBUS: Offset.CARDBUS_CAPABILITIES_POINTER,
}
_LAYOUT_MASK = 0x7F  # PCI Local Bus 3.0 §6.2.1
_POINTER_MASK = 0xFC  # the bottom two bits are reserved and masked, PCI Local Bus 3.0 §6.7
_FIRST = 0x40  # capabilities stand in the device-dependent part, PCI Local Bus 3.0 §6.7
_NEXT = 1  # offset of the next pointer in a capability
_NOBODY = 0xFF  # no id; what a read gives where nothing answers


def iter_capabilities(config: ConfigRegion) -> Iterator[Capability]:
    """Follow the list of capabilities (PCI Local Bus 3.0 §6.7).

    Raises ProtocolError, with the chain up to there, where the list runs in a circle,
    points into the header, or has an entry that does not answer; what stands before that
    was given out by then.
    """
    if not config.read16(Offset.STATUS) & Status.CAPABILITIES_LIST:
        return
    layout = config.read8(Offset.HEADER_TYPE) & _LAYOUT_MASK
    if layout not in _POINTERS:
        raise ProtocolError(f"header layout {layout:#x} is none that PCI knows")
    found: list[Capability] = []
    pointer = config.read8(_POINTERS[HeaderLayout(layout)]) & _POINTER_MASK
    while pointer:
        if pointer < _FIRST:
            _refuse(f"pointer {pointer:#04x} points into the header", found)
        if any(pointer == capability.offset for capability in found):
            _refuse(f"pointer {pointer:#04x} was there before: the list is a circle", found)
        capability_id = config.read8(pointer)
        if capability_id == _NOBODY:
            _refuse(f"nothing answers at {pointer:#04x} (id 0xff)", found)
        found.append(_make(config, pointer, capability_id))
        yield found[-1]
        pointer = config.read8(pointer + _NEXT) & _POINTER_MASK


def walk_capabilities(config: ConfigRegion) -> tuple[Capability, ...]:
    """Return the whole list; raises as :func:`iter_capabilities` does."""
    return tuple(iter_capabilities(config))


def _make(config: ConfigRegion, offset: int, capability_id: int) -> Capability:
    try:
        family = FAMILIES.get(CapabilityId(capability_id), Capability)
    except ValueError:
        family = Capability
    return family(config, offset, capability_id)


def _refuse(what: str, found: list[Capability]) -> NoReturn:
    chain = ", ".join(f"{cap.offset:#04x} {capability_name(cap.id)}" for cap in found) or "empty"
    raise ProtocolError(f"capability list: {what}; chain so far: {chain}")
