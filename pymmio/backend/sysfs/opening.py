"""Open ``sysfs:ADDRESS``: look whose the device is before anything is touched."""

from __future__ import annotations

from collections.abc import Collection

from pymmio.backend.sysfs import refusals
from pymmio.backend.sysfs.device import SysfsDevice
from pymmio.backend.sysfs.function import SysfsFunction
from pymmio.backend.sysfs.machine import MACHINE, Machine
from pymmio.errors import UriError
from pymmio.pci.address import PciAddress
from pymmio.uri import DeviceUri

__all__ = ["open", "open_function"]

_OPTIONS = ("config", "force", "wc")


def open(uri: DeviceUri) -> SysfsDevice:
    """Open the device that ``sysfs:0000:01:00.0`` names.

    ``?config`` opens configuration space alone, for reading, whoever uses the device.
    ``?force`` opens a device that a kernel driver uses.  ``?wc=0,2`` maps these BARs
    write-combined.  Raises UriError, DeviceNotFound, DeviceBusy (with the driver's name),
    PermissionRefused and Unsupported; whatever was opened is closed again.
    """
    unknown = [name for name in uri.options if name not in _OPTIONS]
    if unknown:
        raise UriError(
            f"sysfs: has no option {', '.join(map(repr, unknown))}",
            hint=f"It has: {', '.join(_OPTIONS)}",
        )
    return open_function(
        MACHINE,
        PciAddress.parse(uri.target),
        config_only=_switch(uri, "config"),
        force=_switch(uri, "force"),
        write_combined=_numbers(uri, "wc"),
    )


def open_function(
    machine: Machine,
    address: PciAddress,
    *,
    config_only: bool = False,
    force: bool = False,
    write_combined: Collection[int] = (),
) -> SysfsDevice:
    """Open a PCI function below ``machine``; raises as :func:`open` does."""
    function = SysfsFunction.look_up(machine, address)
    if function.owner is not None and not (force or config_only):
        raise refusals.bound_to_driver(str(address), function.owner)
    return SysfsDevice(machine, function, config_only=config_only, write_combined=write_combined)


def _switch(uri: DeviceUri, name: str) -> bool:
    value = uri.options.get(name)
    if value is None or value in ("no", "0"):
        return False
    if value in ("", "yes", "1"):
        return True
    raise UriError(f"{uri}: {name}={value!r}", hint=f"Write ?{name}, or leave it out")


def _numbers(uri: DeviceUri, name: str) -> frozenset[int]:
    value = uri.options.get(name)
    if value is None:
        return frozenset()
    parts = value.split(",")
    if not all(part.isdigit() and int(part) < 6 for part in parts):
        raise UriError(f"{uri}: {name}={value!r} are no numbers of BARs", hint=f"Write ?{name}=0,2")
    return frozenset(map(int, parts))
