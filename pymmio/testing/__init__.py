"""Fakes and helpers for tests of drivers; shipped, and used by pymmio's own tests."""

from __future__ import annotations

from pymmio.mmio import PCI, AccessRule, MappedRegion, Mapping

__all__ = ["mapped_region"]


def mapped_region(size: int, *, rule: AccessRule = PCI, name: str = "memory") -> MappedRegion:
    """Return a region over ``size`` bytes of plain zeroed memory, as if it were a mapped BAR."""
    return MappedRegion(Mapping.of_buffer(bytearray(size), name), rule=rule)
