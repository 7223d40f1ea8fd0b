"""Why the kernel refuses what sysfs and /dev/mem could do, in words that help.

Sources: Linux 6.12, drivers/pci/pci-sysfs.c, drivers/char/mem.c, kernel/resource.c and
Documentation/admin-guide/LSM (lockdown).
"""

from __future__ import annotations

import errno
import os

from pymmio.backend.sysfs.machine import Machine
from pymmio.errors import (
    DeviceBusy,
    DeviceGone,
    PermissionRefused,
    PymmioError,
    Unsupported,
)

__all__ = ["bound_to_driver", "explained", "is_denial", "locked_down", "not_mapped"]

_DENIALS = (errno.EPERM, errno.EACCES, errno.EROFS)


def is_denial(error: OSError) -> bool:
    """Tell whether the kernel said that this user, or this kernel, must not."""
    return error.errno in _DENIALS


def reason(error: OSError) -> str:
    """Return the errno's name and text, such as ``EBUSY (Device or resource busy)``."""
    number = error.errno or 0
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"


def bound_to_driver(name: str, driver: str) -> DeviceBusy:
    """Return what opening a device raises that a kernel driver uses."""
    if driver.replace("_", "-").endswith("vfio-pci"):
        hint = f"Open it as vfio:{name}"
    else:
        hint = (
            f"Take it from the driver (`pymmio bind {name}` and vfio:{name}); to look at "
            f"configuration space only: sysfs:{name}?config; to disturb the driver: ?force"
        )
    return DeviceBusy(f"{name} is used by the kernel's driver {driver}", hint=hint)


def locked_down(machine: Machine, what: str) -> PermissionRefused | None:
    """Return the refusal of a kernel that is locked down, None if it is not."""
    level = machine.lockdown()
    if level is None:
        return None
    return PermissionRefused(
        f"{what}: the kernel is locked down ({level}), which forbids direct access to hardware",
        hint="VFIO is still allowed: open the device with vfio:; lockdown comes with Secure Boot "
        "or lockdown= on the kernel's command line",
    )


def explained(machine: Machine, error: OSError, what: str, path: str) -> PymmioError:
    """Return the exception for a file of sysfs that could not be opened, read or written."""
    said = f"{what}: {path}: {reason(error)}"
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return DeviceGone(f"{said}: the device is gone", hint="It was removed; see `pymmio list`")
    if error.errno == errno.EPERM and (refusal := locked_down(machine, what)) is not None:
        return refusal
    if error.errno == errno.EROFS:
        return PermissionRefused(
            said, hint="sysfs is mounted read-only, as in containers: remount it, or use vfio:"
        )
    if is_denial(error):
        return PermissionRefused(
            said, hint=f"Run as root, or let this user have the file: chown USER {path}"
        )
    return Unsupported(said, hint="See the kernel's log")


def not_mapped(machine: Machine, error: PymmioError, what: str, driver: str | None) -> PymmioError:
    """Return the exception for a resource file that cannot be mapped."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, PermissionRefused):
        refusal = locked_down(machine, what)
        if refusal is not None:
            return refusal
        return PermissionRefused(
            f"{what} cannot be mapped: {error.message}",
            hint="A security module may forbid it; VFIO (vfio:) needs no such right",
        )
    busy = f" by {driver}" if driver else ""
    refused = Unsupported(
        f"{what} cannot be mapped: {error.message}",
        hint=f"Somebody has claimed it{busy} (/proc/iomem) and the kernel was built with "
        "CONFIG_IO_STRICT_DEVMEM: unbind the driver, or boot with iomem=relaxed",
    )
    refused.__cause__ = cause
    return refused
