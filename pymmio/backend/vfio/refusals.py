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
    cdev_path,
    directory,
    group_members,
    holders,
)
from pymmio.backend.vfio.vf_token import VfToken
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
    "cannot_join_container",
    "cannot_open_container",
    "cannot_open_group",
    "cannot_open_group_node",
    "cannot_set_iommu",
    "cdev_holders",
    "chown_or_rule",
    "device_fd_refused",
    "device_vanished",
    "group_path",
    "missing_type1",
    "no_iommu_group",
    "no_permission",
    "noiommu_only",
    "not_bound_to_vfio",
    "not_viable",
    "reason",
    "still_held",
    "token_not_wanted",
    "token_refused",
    "unsafe_interrupts",
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
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return _no_group_node(kernel, function, group, error)
    return cannot_open_group_node(kernel, function, group_path(group), error)


def cannot_open_group_node(
    kernel: Kernel, function: PciFunction, path: str, error: OSError
) -> PymmioError:
    """Turn what open() said about the node of a group into words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"As root: {chown_or_rule(path, 'vfio')}"
        return no_permission(kernel, function, path, error, hint)
    if error.errno == errno.EBUSY:
        return _group_busy(kernel, function, path)
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceNotFound(
            f"{path}, the IOMMU group of {function.address}, cannot be opened: {reason(error)}",
            hint="Is the device still bound to vfio-pci? In a container pass "
            f"--device={path} --device={CONTAINER_PATH}",
        )
    return Unsupported(f"{path} cannot be opened: {reason(error)}", hint="See the kernel's log")


def no_permission(
    kernel: Kernel, function: PciFunction, path: str, error: OSError, hint: str
) -> PermissionRefused:
    """Say whose a node is that this user may not open."""
    try:
        owner, group, mode = kernel.owner_of(path)
        seen = f"owner {owner}, group {group}, mode {mode:04o}"
    except OSError:
        seen = "owner unknown"
    return PermissionRefused(
        f"{path} ({function.address}) may not be opened by user {os.getuid()}: "
        f"{reason(error)}; {seen}",
        hint=hint,
    )


def chown_or_rule(path: str, subsystem: str) -> str:
    """Return the two ways to give a node to this user."""
    return (
        f"chown {os.getuid()} {path} (until the next boot), or a udev rule: "
        f'SUBSYSTEM=="{subsystem}", KERNEL=="{path.rsplit("/", 1)[-1]}", OWNER="{os.getuid()}"'
    )


def _group_busy(kernel: Kernel, function: PciFunction, path: str) -> DeviceBusy:
    pids = holders(kernel, path)
    if pids:
        return DeviceBusy(
            f"{path}, the IOMMU group of {function.address}, is already open by process "
            f"{', '.join(pids)}",
            hint="A group has one user at a time: close it there, or stop that process",
        )
    group = function.iommu_group
    others = None if group is None else cdev_holders(kernel, group)
    if others:
        return DeviceBusy(
            f"{path}, the IOMMU group of {function.address}, cannot be had: {others}",
            hint="Group and cdev exclude each other: close it there, or stop that process",
        )
    return DeviceBusy(
        f"{path}, the IOMMU group of {function.address}, is already open",
        hint="Another process, or a device of the group opened through its cdev, has it: "
        f"as root, fuser -v {path} /dev/vfio/devices/* names it",
    )


def cdev_holders(kernel: Kernel, group: int, *, but: str | None = None) -> str:
    """Say which processes have members of a group open by their cdevs; empty if none is seen."""
    found = []
    for member in group_members(kernel, group):
        node = cdev_path(kernel, member.address)
        if node is None or member.address == but:
            continue
        users = holders(kernel, node)
        if users:
            found.append(f"process {', '.join(users)} has {member.address} open ({node})")
    return "; ".join(found)


def _no_group_node(
    kernel: Kernel, function: PciFunction, group: int, error: OSError
) -> PymmioError:
    path = group_path(group)
    if kernel.exists(f"/dev/vfio/noiommu-{group}"):
        return noiommu_only(function, group)
    if function.has_vfio_device and not kernel.exists(path):
        return DeviceNotFound(
            f"there is no {path}, though {function.address} is bound to {function.driver}",
            hint="Either /dev is not that of the machine (in a container: pass "
            f"--device={path} --device={CONTAINER_PATH}), or this kernel offers VFIO by "
            "cdev only (CONFIG_VFIO_GROUP is off)",
        )
    return cannot_open_group_node(kernel, function, path, error)


def noiommu_only(function: PciFunction, group: int) -> Unsupported:
    """Say that the device is to be had without protection only."""
    return Unsupported(
        f"{function.address} is offered by VFIO without an IOMMU only (noiommu-{group})",
        hint="Without an IOMMU the device reaches all memory, so that is not done unasked. "
        "Switch an IOMMU on, then bind again; or, on a machine that may be put at risk, "
        f"ask for it: vfio:{function.address}?interface=noiommu",
    )


def cannot_open_container(kernel: Kernel, function: PciFunction, error: OSError) -> PymmioError:
    """Turn what open() said about /dev/vfio/vfio into words."""
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"Everybody may open it by default: as root, chmod 666 {CONTAINER_PATH}"
        return no_permission(kernel, function, CONTAINER_PATH, error, hint)
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
    return unsafe_interrupts(kernel, function, _UNSAFE, error)


def unsafe_interrupts(
    kernel: Kernel, function: PciFunction, parameter: str, error: OSError
) -> PermissionRefused:
    """Explain an EPERM of the IOMMU; ``parameter`` is the file that would allow it."""
    try:
        unsafe_allowed = kernel.read_text(parameter) in ("Y", "1")
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
        f"trusted, as root: echo 1 > {parameter}",
    )


def cannot_join_container(function: PciFunction, group: int, error: OSError) -> PymmioError:
    """Turn what VFIO_GROUP_SET_CONTAINER said into words, where others are in the container."""
    if error.errno in (errno.EBUSY, errno.EPERM):
        return cannot_attach_group(function, group, error)
    return Unsupported(
        f"{function.address} (IOMMU group {group}) cannot share the other device's address "
        f"space: {reason(error)}",
        hint="Its IOMMU differs, or memory is mapped where this device cannot reach: open both "
        "before memory is allocated, else give each its own address space",
    )


def still_held(function: PciFunction, error: OSError) -> DeviceBusy:
    """Say that the kernel does not let go of a device that was closed."""
    return DeviceBusy(
        f"{function.address} was closed and is still held: {reason(error)}",
        hint="A mapping of one of its regions, or a copy of its descriptor in another "
        "process, is alive; until it goes the device cannot be opened or unbound",
    )


def device_fd_refused(
    kernel: Kernel, function: PciFunction, token: VfToken | None, error: OSError
) -> PymmioError:
    """Turn what VFIO_GROUP_GET_DEVICE_FD said into words."""
    address = function.address
    if error.errno in (errno.EPERM, errno.EACCES):
        return token_refused(function, token, error)
    if error.errno == errno.EINVAL and token is not None:
        return token_not_wanted(function, error)
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return DeviceBusy(
            f"VFIO does not hand out {address}: {reason(error)}",
            hint="The device is in use or in the middle of a reset or removal: try again",
        )
    if error.errno in (errno.ENODEV, errno.ENOENT, errno.ENXIO):
        return device_vanished(function, error)
    return Unsupported(
        f"VFIO cannot open {address}: {reason(error)}",
        hint="Enabling or resetting the device failed: see the kernel's log",
    )


def device_vanished(function: PciFunction, error: OSError) -> DeviceNotFound:
    """Say that the device went away while it was opened."""
    return DeviceNotFound(
        f"VFIO does not know {function.address} any more: {reason(error)}",
        hint="It was removed or unbound just now; see `pymmio list`",
    )


def token_refused(
    function: PciFunction, token: VfToken | None, error: OSError
) -> PermissionRefused:
    """Say that the VF token is missing or wrong."""
    address = function.address
    whose = f"its physical function {function.physical_function}"
    if function.physical_function is None:
        whose = "the program that opened it before its virtual functions were opened"
    if token is None:
        return PermissionRefused(
            f"VFIO does not hand out {address} without a VF token: {reason(error)}",
            hint=f"Pass the token of {whose}: vfio:{address}?vf_token=UUID",
        )
    return PermissionRefused(
        f"VFIO does not hand out {address} for this VF token: {reason(error)}",
        hint=f"It must be the one that {whose} was opened with",
    )


def token_not_wanted(function: PciFunction, error: OSError) -> Unsupported:
    """Say that a VF token was given where none belongs."""
    return Unsupported(
        f"VFIO refuses the VF token for {function.address}: {reason(error)}",
        hint="Only physical functions with SR-IOV take one, and virtual functions whose "
        "physical function is bound to vfio-pci: leave vf_token out",
    )
