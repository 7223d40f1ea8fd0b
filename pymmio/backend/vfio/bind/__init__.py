"""Bind PCI functions to vfio-pci and give them back: the only place that writes sysfs.

>>> from pymmio.backend.vfio.bind import bind, restore
"""

from __future__ import annotations

from pymmio.backend.vfio.bind.binding import bind
from pymmio.backend.vfio.bind.inuse import Use
from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.bind.restoring import recorded, restore, restore_all, unbind
from pymmio.backend.vfio.bind.result import BindResult, Change
from pymmio.backend.vfio.bind.steps import LoadModule, Step, Write

__all__ = [
    "BindResult",
    "Change",
    "LoadModule",
    "Machine",
    "Step",
    "Use",
    "Write",
    "bind",
    "recorded",
    "restore",
    "restore_all",
    "unbind",
]
