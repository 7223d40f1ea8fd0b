"""Names of registers from the installed driver that takes a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymmio.trace import DeviceFacts, RegisterNames

__all__ = ["driver_names"]


def driver_names(device: DeviceFacts) -> Mapping[int, RegisterNames]:
    """Return the names by region; nothing where no driver takes the device or declares any."""
    from pymmio.cli.drivers import driver_for
    from pymmio.errors import PymmioError
    from pymmio.pci import PciIds
    from pymmio.trace import RegisterNames

    try:
        _, module = driver_for(PciIds(**device.ids))
    except (PymmioError, TypeError):
        return {}
    registers = getattr(module, "REGISTERS", None)
    if registers is None:
        return {}
    return {getattr(module, "REGISTER_BAR", 0): RegisterNames.of(registers)}
