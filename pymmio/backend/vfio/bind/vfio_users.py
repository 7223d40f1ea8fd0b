"""Who uses a function through VFIO: its driver must not be taken away from them.

The kernel waits in the write to ``unbind`` until every descriptor and mapping of the device is
gone.  When that is one of our own, it waits for ever.
"""

from __future__ import annotations

import errno
import os

from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.bind.processes import OpenFile, find_open, mapping_processes
from pymmio.backend.vfio.sysfs import PciFunction, directory, group_members
from pymmio.errors import DeviceBusy

__all__ = ["refuse_vfio_users"]

_DEVICES = "/sys/bus/pci/devices"
_DEVICE_FILE = "[vfio-device]"  # the name of a device's descriptor that a group handed out


def refuse_vfio_users(machine: Machine, function: PciFunction) -> None:
    """Raise DeviceBusy if a process has the device, its group, or a mapping of it."""
    nodes = _nodes(machine, function)
    users = list(find_open(machine, lambda path: path if path in nodes else None).found)
    for node in nodes:
        users += mapping_processes(machine, node)
    if not users and _is_group_taken(machine, function):
        # The group's descriptor is closed, a device's or a mapping of it is not.
        users += mapping_processes(machine, _DEVICE_FILE)
        if not users:
            raise _busy(function, "a process that cannot be seen from here has")
    if any(user.pid == os.getpid() for user in users):
        raise DeviceBusy(
            f"{function.address}, or another device of its IOMMU group, is open in this very "
            "program, which would wait for itself for ever",
            hint="Close the Device, and everything that maps its regions, first",
        )
    if users:
        raise _busy(function, f"{_named(users)} {'has' if len(set(users)) == 1 else 'have'}")


def _busy(function: PciFunction, who: str) -> DeviceBusy:
    return DeviceBusy(
        f"{function.address} is in use through VFIO: {who} it, another device of its IOMMU "
        "group or a mapping open",
        hint="Let that end first: the kernel would wait for it, for as long as it takes",
    )


def _nodes(machine: Machine, function: PciFunction) -> tuple[str, ...]:
    """Return the nodes that lead to the device or to another one of its group.

    While a program has one member, no kernel driver gets another: DMA of a group has one owner.
    """
    group = function.iommu_group
    places = {directory(function.address)}
    nodes = []
    if group is not None:
        nodes += [f"/dev/vfio/{group}", f"/dev/vfio/noiommu-{group}"]
        places |= {f"{_DEVICES}/{member.address}" for member in group_members(machine, group)}
    for place in sorted(places):
        nodes += [f"/dev/vfio/devices/{name}" for name in machine.listed(f"{place}/vfio-dev")]
    return tuple(nodes)


def _is_group_taken(machine: Machine, function: PciFunction) -> bool:
    """Ask the kernel: a group can be opened once, and descriptors of its devices hold it open."""
    if function.iommu_group is None:
        return False
    try:
        fd = machine.open(f"/dev/vfio/{function.iommu_group}", os.O_RDWR)
    except OSError as error:
        return error.errno == errno.EBUSY
    machine.close(fd)
    return False


def _named(users: list[OpenFile]) -> str:
    return ", ".join(sorted({str(user) for user in users}))
