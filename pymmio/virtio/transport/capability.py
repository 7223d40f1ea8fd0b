"""The vendor capabilities by which a PCI function says where virtio's structures are.

Source: virtio 1.2 §4.1.4 (capability layout), §4.1.4.4 (notification), §4.1.4.7 (shared memory).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from pymmio.errors import ProtocolError
from pymmio.pci import ConfigSpace
from pymmio.pci.caps import VendorSpecific

__all__ = ["CfgType", "VirtioCapability", "read_capabilities"]

_CFG_TYPE = 3
_BAR = 4
_ID = 5
_OFFSET = 8
_LENGTH = 12
_OFFSET_HI = 16
_LENGTH_HI = 20
_NOTIFY_OFF_MULTIPLIER = 16

_SIZE = 16
_SIZE_NOTIFY = 20
_SIZE_64 = 24
_LAST_BAR = 5


class CfgType(enum.IntEnum):
    """What a capability points to (virtio 1.2 §4.1.4)."""

    COMMON = 1
    NOTIFY = 2
    ISR = 3
    DEVICE = 4
    PCI = 5
    SHARED_MEMORY = 8
    VENDOR = 9


_NEEDED_SIZE = {CfgType.NOTIFY: _SIZE_NOTIFY, CfgType.SHARED_MEMORY: _SIZE_64}


@dataclass(frozen=True, slots=True)
class VirtioCapability:
    """One structure: where it is, in bytes of a BAR.  ``id`` tells shared-memory regions apart."""

    cfg_type: CfgType
    bar: int
    id: int
    offset: int
    length: int
    multiplier: int = 0  #: notify_off_multiplier, of NOTIFY

    def __str__(self) -> str:
        return f"{self.cfg_type.name} in BAR{self.bar} at {self.offset:#x}+{self.length:#x}"


def read_capabilities(config: ConfigSpace) -> Sequence[VirtioCapability]:
    """Return the structures in the order of the list, which is the device's preference.

    Types and BARs that the specification reserves are left out, as it asks (§4.1.4.1).
    Raises ProtocolError for a capability that is too short for its type.
    """
    found = []
    for capability in config.capabilities():
        if isinstance(capability, VendorSpecific):
            one = _read(capability)
            if one is not None:
                found.append(one)
    return found


def _read(capability: VendorSpecific) -> VirtioCapability | None:
    if capability.length <= _CFG_TYPE:
        return None  # somebody else's
    try:
        cfg_type = CfgType(capability.read8(_CFG_TYPE))
    except ValueError:
        return None
    if cfg_type is CfgType.VENDOR:
        return None
    needed = _NEEDED_SIZE.get(cfg_type, _SIZE)
    if capability.length < needed:
        raise ProtocolError(
            f"virtio capability {cfg_type.name} at {capability.offset:#x} has"
            f" {capability.length} bytes; {needed} are needed"
        )
    bar = capability.read8(_BAR)
    if cfg_type is CfgType.PCI or bar > _LAST_BAR:
        return None  # the access window of §4.1.4.9 points to nothing by itself
    offset, length, multiplier = capability.read32(_OFFSET), capability.read32(_LENGTH), 0
    if cfg_type is CfgType.SHARED_MEMORY:
        offset |= capability.read32(_OFFSET_HI) << 32
        length |= capability.read32(_LENGTH_HI) << 32
    elif cfg_type is CfgType.NOTIFY:
        multiplier = capability.read32(_NOTIFY_OFF_MULTIPLIER)
    return VirtioCapability(cfg_type, bar, capability.read8(_ID), offset, length, multiplier)
