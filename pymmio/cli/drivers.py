"""Which installed driver knows a device: entry-point group ``pymmio.drivers``.

A driver module declares what it takes and where its registers are::

    MATCH = (PciMatch(vendor_id=0x1234, device_id=0x11E8),)
    REGISTERS = Registers    # a subclass of RegisterFile
    REGISTER_BAR = 0
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING

from pymmio.cli.output import note
from pymmio.errors import Unsupported

if TYPE_CHECKING:
    from pymmio.device import Device
    from pymmio.pci import PciIds
    from pymmio.regs import RegisterFile

__all__ = ["DRIVER_GROUP", "driver_for", "registers_of"]

DRIVER_GROUP = "pymmio.drivers"


def registers_of(device: Device, *, driver: str | None = None) -> RegisterFile:
    """Return the registers of a device as its driver declares them, or as ``driver`` does.

    Raises Unsupported where no driver takes the device, or the driver declares none.
    """
    entry, module = driver_for(device.config.ids, driver=driver)
    declared: type[RegisterFile] | None = getattr(module, "REGISTERS", None)
    if declared is None:
        raise Unsupported(
            f"the driver {entry.name} ({entry.value}) declares no REGISTERS",
            hint="pymmio peek reads without a declaration",
        )
    bar: int = getattr(module, "REGISTER_BAR", 0)
    return declared(device.region(bar))


def driver_for(ids: PciIds, *, driver: str | None = None) -> tuple[EntryPoint, ModuleType]:
    """Return the driver named ``driver``, else the one whose MATCH fits best; it is loaded.

    One that names the device wins over one that names its class.  A driver that cannot be
    loaded is told on standard error, unless it was asked for: then its error is raised.
    """
    entries = sorted(entry_points(group=DRIVER_GROUP), key=lambda entry: entry.name)
    names = ", ".join(entry.name for entry in entries) or "none"
    if driver is not None:
        for entry in entries:
            if entry.name == driver:
                return entry, entry.load()
        raise Unsupported(f"there is no driver {driver!r}", hint=f"Drivers are {names}")
    best: tuple[bool, EntryPoint, ModuleType] | None = None
    for entry in entries:
        try:
            module: ModuleType = entry.load()
        except (ImportError, AttributeError) as error:
            note(f"the driver {entry.name} ({entry.value}) cannot be loaded: {error}")
            continue
        for match in getattr(module, "MATCH", ()):
            exact = match.device_id is not None
            if match.matches(ids) and (best is None or exact > best[0]):
                best = exact, entry, module
    if best is None:
        raise Unsupported(
            f"no driver takes {ids.vendor_id:04x}:{ids.device_id:04x} class {ids.class_code:06x}",
            hint=f"Drivers are {names}; --driver NAME uses one nevertheless",
        )
    return best[1], best[2]
