"""User-space PCI drivers in Python, with exact device access.

>>> import pymmio
>>> with pymmio.open_device("sim:edu") as device:
...     hex(device.region(0).read32(0x00))
'0x10000ed'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymmio.device import Device, open_device
    from pymmio.errors import PymmioError
    from pymmio.handle import Access, Iova
    from pymmio.mmio import AccessRule, Order, Region, Violation
    from pymmio.pci.discover import PciDeviceInfo, discover
    from pymmio.pci.watch import HotplugEvent, watch
    from pymmio.policy import set_policy

__version__ = "0.1.0"

__all__ = [
    "Access",
    "AccessRule",
    "Device",
    "HotplugEvent",
    "Iova",
    "Order",
    "PciDeviceInfo",
    "PymmioError",
    "Region",
    "Violation",
    "discover",
    "open_device",
    "set_policy",
    "watch",
]

_HOME = {
    "Access": "pymmio.handle",
    "AccessRule": "pymmio.mmio",
    "Device": "pymmio.device",
    "HotplugEvent": "pymmio.pci.watch",
    "Iova": "pymmio.handle",
    "Order": "pymmio.mmio",
    "PciDeviceInfo": "pymmio.pci.discover",
    "PymmioError": "pymmio.errors",
    "Region": "pymmio.mmio",
    "Violation": "pymmio.mmio",
    "discover": "pymmio.pci.discover",
    "open_device": "pymmio.device",
    "set_policy": "pymmio.policy",
    "watch": "pymmio.pci.watch",
}


def __getattr__(name: str) -> Any:
    """Load public names when they are first used, so that ``pymmio --help`` stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'pymmio' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
