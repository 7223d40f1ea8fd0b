"""Devices through the files that sysfs has of them, and ranges of physical memory.

``sysfs:0000:01:00.0``: registers and configuration space, where there is no VFIO.  No DMA memory
and no interrupts.  :mod:`pymmio.backend.sysfs.devmem` has ranges of /dev/mem.
"""

from pymmio.backend.sysfs.device import SysfsDevice
from pymmio.backend.sysfs.opening import open

__all__ = ["SysfsDevice", "open"]
