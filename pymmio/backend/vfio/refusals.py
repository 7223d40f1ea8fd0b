"""Say why a device cannot be opened through VFIO, and what to do about it.

Each function returns the exception for one reason, to be raised by whoever found it.
"""

from __future__ import annotations

import errno
import os

from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.sysfs import (
    PciFunction,
    any_iommu_group,
    directory,
    group_members,
    holders,
)
from pymmio.errors import (
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
)

__all__ = [
    "CONTAINER_PATH",
    "cannot_attach_group",
    "cannot_open_container",
    "cannot_open_group",
    "cannot_set_iommu",
    "device_fd_refused",
    "group_path",
    "missing_type1",
    "no_iommu_group",
    "not_bound_to_vfio",
    "not_viable",
    "reason",
    "wrong_api_version",
]

CONTAINER_PATH = "/dev/vfio/vfio"
_UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
_VFIO_PCI = "/sys/bus/pci/drivers/vfio-pci"


def group_path(group: int) -> str:
    """Return the device node of an IOMMU group."""
    return f"/dev/vfio/{group}"


def reason(error: OSError) -> str:
    """Say an errno as words and name, such as ``Device or resource busy (EBUSY)``."""
    number = error.errno or 0
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"


def no_iommu_group(kernel: Kernel, function: PciFunction) -> PymmioError:
    """Say that no IOMMU stands before the device."""
    if any_iommu_group(kernel):
        return Unsupported(
            f"{function.address} is in no IOMMU group, so VFIO cannot confine its DMA",
            hint="Other devices of this machine are: put the card into another slot, or give "
            "the virtual machine an IOMMU that covers this bus",
        )
    return Unsupported(
        f"{function.address} is in no IOMMU group: this kernel uses no IOMMU",
        hint="Switch VT-d, AMD-Vi or the SMMU on in the firmware and boot with intel_iommu=on "
        "(Intel); a virtual machine needs an emulated one, e.g. -device intel-iommu",
    )


def not_bound_to_vfio(kernel: Kernel, function: PciFunction) -> PymmioError:
    """Say which driver has the device, and the commands that give it to vfio-pci."""
    address, path = function.address, directory(function.address)
    steps = [] if kernel.exists(_VFIO_PCI) else ["modprobe vfio-pci"]
    steps.append(f"echo vfio-pci > {path}/driver_override")
    if function.driver is not None:
        steps.append(f"echo {address} > {path}/driver/unbind")
    steps.append(f"echo {address} > /sys/bus/pci/drivers_probe")
    hint = (
        "As root, after making sure that nothing uses it: " if function.driver else "As root: "
    ) + "; ".join(steps)
    if function.driver is None:
        return Unsupported(
            f"{address} is bound to no driver, VFIO needs it bound to vfio-pci", hint=hint
        )
    return DeviceBusy(f"{address} is bound to the kernel driver {function.driver}", hint=hint)


def cannot_open_group(
    kernel: Kernel, function: PciFunction, group: int, error: OSError
) -> PymmioError:
    """Turn what open() said about /dev/vfio/N into words."""
    path = group_path(group)
    if error.errno in (errno.EACCES, errno.EPERM):
        return _permission(kernel, function, path, error)
    if error.errno == errno.EBUSY:
        return _group_busy(kernel, function, path)
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return _no_group_node(kernel, function, group, error)
    return Unsupported(f"{path} cannot be opened: {reason(error)}", hint="See the kernel's log")


def _permission(
    kernel: Kernel, function: PciFunction, path: str, error: OSError
) -> PermissionRefused:
    try:
        owner, group, mode = kernel.owner_of(path)
        seen = f"owner {owner}, group {group}, mode {mode:04o}"
    except OSError:
        seen = "owner unknown"
    if path == CONTAINER_PATH:
        hint = f"Everybody may open it by default: as root, chmod 666 {path}"
    else:
        hint = (
            f"As root: chown {os.getuid()} {path} (until the next boot), or a udev rule: "
            f'SUBSYSTEM=="vfio", KERNEL=="{path.rsplit("/", 1)[-1]}", OWNER="{os.getuid()}"'
        )
    return PermissionRefused(
        f"{path} ({function.address}) may not be opened by user {os.getuid()}: "
        f"{reason(error)}; {seen}",
        hint=hint,
    )


def _group_busy(kernel: Kernel, function: PciFunction, path: str) -> DeviceBusy:
    pids = holders(kernel, path)
    by = f" by process {', '.join(pids)}" if pids else ""
    return DeviceBusy(
        f"{path}, the IOMMU group of {function.address}, is already open{by}",
        hint="A group has one user at a time: close it there, or stop that process"
        if pids
        else "Another process, or a device of the group opened through its cdev, has it: "
        f"as root, fuser -v {path} /dev/vfio/devices/* names it",
    )


def _no_group_node(
    kernel: Kernel, function: PciFunction, group: int, error: OSError
) -> PymmioError:
    path = group_path(group)
    if kernel.exists(f"/dev/vfio/noiommu-{group}"):
        return Unsupported(
            f"{function.address} is offered by VFIO without an IOMMU only (noiommu-{group})",
            hint="Without an IOMMU the device reaches all memory; pymmio does not do that "
            "unasked. Switch an IOMMU on, then bind again",
        )
    if function.has_vfio_device and not kernel.exists(path):
        return DeviceNotFound(
            f"there is no {path}, though {function.address} is bound to {function.driver}",
            hint="Either /dev is not that of the machine (in a container: pass "
            f"--device={path} --device={CONTAINER_PATH}), or this kernel offers VFIO by "
            "cdev only (CONFIG_VFIO_GROUP is off)",
        )
    return DeviceNotFound(
        f"{path}, the IOMMU group of {function.address}, cannot be opened: {reason(error)}",
        hint="Is the device still bound to vfio-pci? In a container pass "
        f"--device={path} --device={CONTAINER_PATH}",
    )


def cannot_open_container(kernel: Kernel, function: PciFunction, error: OSError) -> PymmioError:
    """Turn what open() said about /dev/vfio/vfio into words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return _permission(kernel, function, CONTAINER_PATH, error)
    return Unsupported(
        f"{CONTAINER_PATH} cannot be opened: {reason(error)}",
        hint="As root: modprobe vfio; in a container pass --device=/dev/vfio/vfio",
    )


def wrong_api_version(version: int, wanted: int) -> Unsupported:
    """Say that the kernel speaks another VFIO."""
    return Unsupported(
        f"{CONTAINER_PATH} speaks version {version} of the VFIO API, pymmio knows {wanted}"
    )


def missing_type1() -> Unsupported:
    """Say that the IOMMU interface type1v2 is not there."""
    return Unsupported(
        "this kernel's VFIO offers no type1v2 IOMMU interface now",
        hint="As root: modprobe vfio_iommu_type1",
    )


def not_viable(kernel: Kernel, function: PciFunction, group: int) -> DeviceBusy:
    """Name the other members of the group that keep it from being used."""
    members = group_members(kernel, group)
    blocking = [member for member in members if member.blocks]
    named = ", ".join(str(member) for member in blocking or members) or "not to be seen in sysfs"
    return DeviceBusy(
        f"IOMMU group {group} of {function.address} is not viable: all its members must be "
        f"free of kernel drivers; in the way: {named}",
        hint="Unbind those (echo ADDRESS > /sys/bus/pci/devices/ADDRESS/driver/unbind) or "
        "bind them to vfio-pci too, after making sure that nothing uses them",
    )


def cannot_attach_group(function: PciFunction, group: int, error: OSError) -> PymmioError:
    """Turn what VFIO_GROUP_SET_CONTAINER said into words."""
    if error.errno in (errno.EBUSY, errno.EPERM):
        return DeviceBusy(
            f"IOMMU group {group} of {function.address} cannot be taken: {reason(error)}",
            hint="A kernel driver or another user has its DMA: see who is bound in "
            f"/sys/kernel/iommu_groups/{group}/devices",
        )
    return Unsupported(
        f"IOMMU group {group} of {function.address} cannot be attached to a container: "
        f"{reason(error)}",
        hint="See the kernel's log",
    )


def cannot_set_iommu(kernel: Kernel, function: PciFunction, error: OSError) -> PymmioError:
    """Turn what VFIO_SET_IOMMU said into words; EPERM means unsafe interrupts."""
    if error.errno != errno.EPERM:
        return Unsupported(
            f"the IOMMU of {function.address} cannot be used with type1v2: {reason(error)}",
            hint="See the kernel's log",
        )
    try:
        unsafe_allowed = kernel.read_text(_UNSAFE) in ("Y", "1")
    except OSError:
        unsafe_allowed = False
    if unsafe_allowed:
        return PermissionRefused(
            f"the kernel refuses the IOMMU of {function.address} to this process: {reason(error)}",
            hint="Unsafe interrupts are allowed already, so it is something else: see its log",
        )
    return PermissionRefused(
        f"the kernel refuses the IOMMU of {function.address} ({reason(error)}): interrupts "
        "are not remapped, so the device could send any interrupt to this machine",
        hint="Switch interrupt remapping on (QEMU: -device intel-iommu,intremap=on with "
        "kernel-irqchip=split). Where there is none (virtio-iommu) and the device is "
        f"trusted, as root: echo 1 > {_UNSAFE}",
    )


def device_fd_refused(kernel: Kernel, function: PciFunction, error: OSError) -> PymmioError:
    """Turn what VFIO_GROUP_GET_DEVICE_FD said into words."""
    address = function.address
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionRefused(
            f"VFIO does not hand out {address}: {reason(error)}",
            hint="A virtual function whose physical function is in user space needs its VF "
            "token, which this version cannot pass yet",
        )
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return DeviceBusy(
            f"VFIO does not hand out {address}: {reason(error)}",
            hint="The device is in use or in the middle of a reset or removal: try again",
        )
    if error.errno in (errno.ENODEV, errno.ENOENT, errno.ENXIO):
        return DeviceNotFound(
            f"VFIO does not know {address} any more: {reason(error)}",
            hint="It was removed or unbound just now; see `pymmio list`",
        )
    return Unsupported(
        f"VFIO cannot open {address}: {reason(error)}",
        hint="Enabling or resetting the device failed: see the kernel's log",
    )
