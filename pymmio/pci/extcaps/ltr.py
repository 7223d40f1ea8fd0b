"""Latency tolerance reporting: how long a function may be told to wait."""

from __future__ import annotations

from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts
from pymmio.regs import RW, Field, Register

__all__ = ["Ltr", "MaxNoSnoopLatency", "MaxSnoopLatency"]

_LAST_SCALE = 5  # 6 and 7 are not permitted, PCI Express 5.0 §7.8.2.2


class MaxSnoopLatency(Register, offset=0x04, width=16, access=RW):
    """Max Snoop Latency (PCI Express 5.0 §7.8.2.2)."""

    value = Field(bits=(0, 9))
    scale = Field(bits=(10, 12), doc="times 32 ** n nanoseconds")


class MaxNoSnoopLatency(MaxSnoopLatency, offset=0x06):
    """Max No-Snoop Latency (PCI Express 5.0 §7.8.2.3)."""


class Ltr(ExtendedCapability):
    """Latency tolerance reporting, extended capability 0018h (PCI Express 5.0 §7.8.2)."""

    __slots__ = ()

    @property
    def max_snoop_ns(self) -> int:
        """Nanoseconds.  Raises ProtocolError for a scale that is not permitted."""
        return self._nanoseconds(self._read(MaxSnoopLatency))

    @property
    def max_no_snoop_ns(self) -> int:
        """Nanoseconds.  Raises ProtocolError likewise."""
        return self._nanoseconds(self._read(MaxNoSnoopLatency))

    def facts(self) -> Facts:
        return {"max_snoop_ns": self.max_snoop_ns, "max_no_snoop_ns": self.max_no_snoop_ns}

    def _nanoseconds(self, latency: MaxSnoopLatency) -> int:
        if latency.scale > _LAST_SCALE:
            raise self._refused(f"{latency.spec.name} has scale {latency.scale}, not permitted")
        return int(latency.value * 32**latency.scale)
