"""The rules that subjects are compared with, one module each.

They are literal: written from their sources, not computed by what they judge.
"""

from __future__ import annotations

import importlib
from functools import cache

from pymmio.check.rules.table import Preset
from pymmio.errors import BadArgument

__all__ = ["NAMES", "preset", "presets"]

_MODULES = {
    "strict-pci": "strict_pci",
    "linux-io": "linux_io",
    "zpci": "zpci",
    "vfio-pci": "vfio_pci",
    "vfio-pci-32": "vfio_pci_32",
    "qemu-ram-device-2016": "ram_device_2016",
    "qemu-ram-device-2023": "ram_device_2023",
    "qemu-ram-device-2026": "ram_device_2026",
    "qemu-vfio-region-ops": "vfio_region_ops",
    "qemu-vfio-region-ops-tcg": "vfio_region_ops_tcg",
    "nvme": "nvme",
    "virtio-common": "virtio_common",
}
NAMES = tuple(_MODULES)


@cache
def preset(name: str) -> Preset:
    """Return a rule by its name; raises BadArgument for one that there is not."""
    if name not in _MODULES:
        raise BadArgument(f"there is no rule {name!r}", hint=f"Rules are {', '.join(NAMES)}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    found: Preset = module.PRESET
    return found


def presets() -> tuple[Preset, ...]:
    """Return all rules."""
    return tuple(preset(name) for name in NAMES)
