"""Precision time measurement: clocks that agree across a link."""

from __future__ import annotations

from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts
from pymmio.regs import RO, RW, Field, Register

__all__ = ["Ptm", "PtmCapability", "PtmControl"]


class PtmCapability(Register, offset=0x04, width=32, access=RO):
    """PTM Capability (PCI Express 5.0 §7.9.16.2)."""

    requester = Field(bit=0)
    responder = Field(bit=1)
    root = Field(bit=2)
    granularity = Field(bits=(8, 15), doc="ns of the local clock; 0: no clock, 255: above 254 ns")


class PtmControl(Register, offset=0x08, width=32, access=RW):
    """PTM Control (PCI Express 5.0 §7.9.16.3)."""

    enable = Field(bit=0)
    root_select = Field(bit=1)
    granularity = Field(bits=(8, 15), doc="ns; 0: unknown, 255: above 254 ns")


class Ptm(ExtendedCapability):
    """Precision time measurement, extended capability 001Fh (PCI Express 5.0 §7.9.16)."""

    __slots__ = ()

    @property
    def capability(self) -> PtmCapability:
        return self._read(PtmCapability)

    @property
    def control(self) -> PtmControl:
        return self._read(PtmControl)

    def facts(self) -> Facts:
        capability, control = self.capability, self.control
        roles = ("requester", "responder", "root")
        return {
            "roles": [role for role in roles if getattr(capability, role)],
            "clock_granularity": capability.granularity,
            "enabled": bool(control.enable),
            "is_root": bool(control.root_select),
            "effective_granularity": control.granularity,
        }
