"""Regions of device memory: exactly the access that was asked for, or an exception."""

from pymmio.mmio.access import PCI, AccessRule, Order, Violation, plan
from pymmio.mmio.doorbell import Doorbell
from pymmio.mmio.handled import HandleRegion
from pymmio.mmio.mapped import MappedRegion
from pymmio.mmio.mapping import Mapping
from pymmio.mmio.recorded import RecordedRegion
from pymmio.mmio.region import Region
from pymmio.mmio.sparse import SparseRegion
from pymmio.mmio.traced import TracedRegion

__all__ = [
    "PCI",
    "AccessRule",
    "Doorbell",
    "HandleRegion",
    "MappedRegion",
    "Mapping",
    "Order",
    "RecordedRegion",
    "Region",
    "SparseRegion",
    "TracedRegion",
    "Violation",
    "plan",
]
