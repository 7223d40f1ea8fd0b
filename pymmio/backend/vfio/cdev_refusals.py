"""Say why a device cannot be opened through its cdev and iommufd, and what to do about it.

Each function returns the exception for one reason, to be raised by whoever found it.
"""

from __future__ import annotations

import errno

from pymmio.backend.vfio import refusals
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.sysfs import PciFunction, group_members, holders
from pymmio.errors import DeviceBusy, DeviceNotFound, PymmioError, Unsupported

__all__ = [
    "IOMMU_PATH",
    "cannot_attach",
    "cannot_bind",
    "cannot_open_cdev",
    "cannot_open_iommu",
    "no_cdev",
    "no_iommu_node",
]

IOMMU_PATH = "/dev/iommu"
UNSAFE = "/sys/module/iommufd/parameters/allow_unsafe_interrupts"
_GROUP_INSTEAD = "interface=group works without it"


def no_cdev(kernel: Kernel, function: PciFunction) -> Unsupported:
    """Say why the device has no name in /dev/vfio/devices."""
    release = kernel.release()
    if function.has_vfio_device:
        seen = f"this kernel (Linux {release}) offers no cdevs"
    else:
        seen = f"this kernel (Linux {release}) has no vfio-dev folder, so no cdevs"
    return Unsupported(
        f"{function.address} cannot be opened by its cdev: {seen}",
        hint="They come with Linux 6.6 and CONFIG_VFIO_DEVICE_CDEV, which many distributions "
        f"leave off; {_GROUP_INSTEAD}",
    )


def no_iommu_node(kernel: Kernel) -> Unsupported:
    """Say why there is no /dev/iommu."""
    if kernel.exists("/sys/class/misc/iommu"):
        return Unsupported(
            f"there is no {IOMMU_PATH}, though this kernel has iommufd",
            hint="/dev is not that of the machine: in a container pass "
            f"--device={IOMMU_PATH}; {_GROUP_INSTEAD}",
        )
    return Unsupported(
        f"there is no {IOMMU_PATH}: iommufd is not loaded, or not in this kernel "
        f"(Linux {kernel.release()})",
        hint="As root: modprobe iommufd. It comes with Linux 6.2 and CONFIG_IOMMUFD; "
        f"{_GROUP_INSTEAD}",
    )


def cannot_open_iommu(kernel: Kernel, function: PciFunction, error: OSError) -> PymmioError:
    """Turn what /dev/iommu said into words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return refusals.no_permission(
            kernel,
            function,
            IOMMU_PATH,
            error,
            'As root: a udev rule KERNEL=="iommu", SUBSYSTEM=="misc", MODE="0666" '
            f"(it gives nobody a device), or until the next boot chmod 666 {IOMMU_PATH}",
        )
    if error.errno == errno.ENOENT:
        return no_iommu_node(kernel)
    return Unsupported(f"{IOMMU_PATH} cannot be used: {reason(error)}", hint="See the kernel's log")


def cannot_open_cdev(
    kernel: Kernel, function: PciFunction, path: str, error: OSError
) -> PymmioError:
    """Turn what open() said about /dev/vfio/devices/vfioN into words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return refusals.no_permission(
            kernel,
            function,
            path,
            error,
            f"As root: {refusals.chown_or_rule(path, 'vfio-dev')}",
        )
    if error.errno == errno.ENOENT:
        return DeviceNotFound(
            f"there is no {path}, though {function.address} is bound to {function.driver}",
            hint="Either it was unbound or removed just now, or /dev is not that of the machine "
            f"(in a container: pass --device={path} --device={IOMMU_PATH})",
        )
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return refusals.device_vanished(function, error)
    return Unsupported(f"{path} cannot be opened: {reason(error)}", hint="See the kernel's log")


def cannot_bind(kernel: Kernel, function: PciFunction, path: str, error: OSError) -> PymmioError:
    """Turn what VFIO_DEVICE_BIND_IOMMUFD said into words; our descriptor is closed already.

    EINVAL: another descriptor of the cdev is bound.  EBUSY: its group is open.  EPERM: a kernel
    driver or another iommufd has a member of the group (iommu_device_claim_dma_owner), or
    interrupts are unsafe (iommufd_device_bind).
    """
    if error.errno == errno.EPERM:
        in_the_way = _group_in_the_way(kernel, function, path)
        return in_the_way or refusals.unsafe_interrupts(kernel, function, UNSAFE, error)
    if error.errno in (errno.EINVAL, errno.EBUSY):
        return _busy(kernel, function, path, error)
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return refusals.device_vanished(function, error)
    return Unsupported(
        f"{path} ({function.address}) cannot be bound to an iommufd: {reason(error)}",
        hint="Enabling or resetting the device failed: see the kernel's log",
    )


def cannot_attach(function: PciFunction, error: OSError, *, is_shared: bool) -> PymmioError:
    """Turn what VFIO_DEVICE_ATTACH_IOMMUFD_PT said into words."""
    address = function.address
    if is_shared and error.errno in (errno.EADDRINUSE, errno.EINVAL):
        return Unsupported(
            f"{address} cannot share the other device's address space: {reason(error)}",
            hint="Its IOMMU differs, or memory is mapped where this device cannot reach: open "
            "both before memory is allocated, else give each its own address space",
        )
    if error.errno == errno.EBUSY:
        return DeviceBusy(
            f"{address} cannot be attached to an address space: {reason(error)}",
            hint="Another function of its IOMMU group is in another address space or is being "
            "reset: open them in one, share_dma_with=, or try again",
        )
    return Unsupported(
        f"{address} cannot be attached to an address space: {reason(error)}",
        hint="Its IOMMU refuses: see the kernel's log",
    )


def _busy(kernel: Kernel, function: PciFunction, path: str, error: OSError) -> DeviceBusy:
    address, group = function.address, function.iommu_group
    users = holders(kernel, path)
    if users:
        return DeviceBusy(
            f"{path} ({address}) is already open by process {', '.join(users)}",
            hint="A device has one user at a time: close it there, or stop that process",
        )
    if group is not None and (users := holders(kernel, refusals.group_path(group))):
        return DeviceBusy(
            f"{path} ({address}) cannot be had: process {', '.join(users)} has its IOMMU group "
            f"open ({refusals.group_path(group)})",
            hint="Group and cdev exclude each other: close it there, or stop that process",
        )
    in_the_way = _group_in_the_way(kernel, function, path)
    if in_the_way is not None:
        return in_the_way
    return DeviceBusy(
        f"{path} ({address}) cannot be bound to an iommufd: {reason(error)}",
        hint="Another process has it, or its IOMMU group: as root, "
        f"fuser -v {path} {'' if group is None else refusals.group_path(group)} names it",
    )


def _group_in_the_way(kernel: Kernel, function: PciFunction, path: str) -> DeviceBusy | None:
    """Return which other member of the group keeps it from being used, if one does."""
    group = function.iommu_group
    if group is None:
        return None
    if any(member.blocks for member in group_members(kernel, group)):
        return refusals.not_viable(kernel, function, group)
    others = refusals.cdev_holders(kernel, group, but=str(function.address))
    if not others:
        return None
    return DeviceBusy(
        f"{path} ({function.address}) cannot be had: {others}",
        hint="The functions of an IOMMU group belong to one program: close it there, or "
        "open both in one program with share_dma_with=",
    )
