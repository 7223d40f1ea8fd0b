"""L1 PM substates: how deep a link may sleep."""

from __future__ import annotations

from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts, set_fields
from pymmio.regs import RO, RW, Field, Register

__all__ = ["L1Control", "L1Substates", "L1SubstatesCapability"]


class L1SubstatesCapability(Register, offset=0x04, width=32, access=RO):
    """L1 PM Substates Capabilities (PCI Express 5.0 §7.8.3.2)."""

    pci_pm_l1_2 = Field(bit=0)
    pci_pm_l1_1 = Field(bit=1)
    aspm_l1_2 = Field(bit=2)
    aspm_l1_1 = Field(bit=3)
    l1_pm_substates = Field(bit=4)
    common_mode_restore_us = Field(bits=(8, 15))


class L1Control(Register, offset=0x08, width=32, access=RW):
    """L1 PM Substates Control 1 (PCI Express 5.0 §7.8.3.3)."""

    pci_pm_l1_2 = Field(bit=0)
    pci_pm_l1_1 = Field(bit=1)
    aspm_l1_2 = Field(bit=2)
    aspm_l1_1 = Field(bit=3)


class L1Substates(ExtendedCapability):
    """L1 PM substates, extended capability 001Eh (PCI Express 5.0 §7.8.3)."""

    __slots__ = ()

    @property
    def capability(self) -> L1SubstatesCapability:
        return self._read(L1SubstatesCapability)

    @property
    def control(self) -> L1Control:
        return self._read(L1Control)

    def facts(self) -> Facts:
        supported = self.capability.replace(common_mode_restore_us=0)
        return {"supported": set_fields(supported), "enabled": set_fields(self.control)}
