"""The two ways to a device, and what stands in each: the machine's part and the device's part.

What is checked is what opening checks, in the same order, as far as looking can tell.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pymmio.backend.vfio import sysfs
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.doctor.host import Host
from pymmio.doctor.iommu import interrupts_are_remapped
from pymmio.doctor.modules import Presence, presence

__all__ = ["UNSAFE", "Obstacle", "Way", "in_the_machine", "to_the_device"]


class Way(enum.StrEnum):
    """An interface of VFIO, as the option ``interface`` calls it."""

    CDEV = "cdev"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a way from working, and what to do about it.

    ``is_small``: one command of root's mends it, such as loading a module.
    """

    seen: str
    next_step: str
    is_small: bool = False


UNSAFE = {
    Way.CDEV: "/sys/module/iommufd/parameters/allow_unsafe_interrupts",
    Way.GROUP: "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
}
_IOMMU_NODE = "/dev/iommu"
_CONTAINER = "/dev/vfio/vfio"
_SETUP = "pymmio setup-user prints what root runs once"


def in_the_machine(host: Host) -> dict[Way, list[Obstacle]]:
    """Return what stands in each way for every device."""
    found = {Way.CDEV: _cdev(host), Way.GROUP: _group(host)}
    has_iommu = bool(host.listed("/sys/class/iommu"))  # else nothing is opened anyway
    for way, obstacles in found.items():
        if has_iommu and interrupts_are_remapped(host) is False and not _is_set(host, UNSAFE[way]):
            obstacles.append(
                Obstacle(
                    "interrupts are not remapped and unsafe ones not allowed",
                    f"If the device is trusted, as root: echo 1 > {UNSAFE[way]}",
                )
            )
    return found


def to_the_device(host: Host, function: PciFunction) -> dict[Way, list[Obstacle]]:
    """Return what stands in each way for a function that is bound to VFIO."""
    assert function.iommu_group is not None
    everywhere = _group_not_viable(host, function, function.iommu_group)
    node = sysfs.cdev_path(host, str(function.address))
    if node is None:
        cdev = [Obstacle("this kernel offers no cdev for it", "Linux 6.6 or newer; or by group")]
    else:
        cdev = _node(host, node, _SETUP)
    group_node = f"/dev/vfio/{function.iommu_group}"
    return {
        Way.CDEV: everywhere + cdev,
        Way.GROUP: everywhere + _node(host, group_node, _SETUP),
    }


def _cdev(host: Host) -> list[Obstacle]:
    release = host.release()
    if host.is_configured("VFIO_DEVICE_CDEV") is False:
        return [
            Obstacle(
                f"this kernel (Linux {release}) offers no cdevs",
                "A kernel with CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD (6.6 or newer)",
            )
        ]
    if host.exists(_IOMMU_NODE):
        return _node(host, _IOMMU_NODE, _SETUP)
    if host.exists("/sys/class/misc/iommu"):
        return [_not_in_dev(_IOMMU_NODE)]
    where = presence(host, "iommufd", "IOMMUFD")
    if where is Presence.LOADABLE:
        return [Obstacle("iommufd is not loaded", "As root: modprobe iommufd", is_small=True)]
    return [
        Obstacle(
            f"no {_IOMMU_NODE}: iommufd is {where}",
            "A kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV (6.6 or newer)",
        )
    ]


def _group(host: Host) -> list[Obstacle]:
    if host.is_configured("VFIO_GROUP") is False:
        return [
            Obstacle("this kernel offers no groups", "A kernel with CONFIG_VFIO_GROUP; or by cdev")
        ]
    where = presence(host, "vfio_iommu_type1", "VFIO_IOMMU_TYPE1")
    found = []
    if where is Presence.LOADABLE:
        step = "As root: modprobe vfio_iommu_type1"
        found.append(Obstacle("vfio_iommu_type1 is not loaded", step, is_small=True))
    elif not where.is_there and not host.is_configured("IOMMUFD_VFIO_CONTAINER"):
        step = "A kernel with CONFIG_VFIO_IOMMU_TYPE1"
        found.append(Obstacle(f"vfio_iommu_type1 is {where}", step))
    if host.exists(_CONTAINER):
        found += _node(
            host, _CONTAINER, f"Everybody may by default: as root, chmod 666 {_CONTAINER}"
        )
    elif presence(host, "vfio", "VFIO").is_there:
        found.append(_not_in_dev(_CONTAINER))
    elif not found:
        found.append(Obstacle(f"no {_CONTAINER}", "As root: modprobe vfio", is_small=True))
    return found


def _node(host: Host, path: str, step: str) -> list[Obstacle]:
    """Return what keeps this user from opening a node."""
    try:
        owner, group, mode = host.owner_of(path)
    except FileNotFoundError:
        return [_not_in_dev(path)]
    if host.may_use(path):
        return []
    return [
        Obstacle(
            f"{path} is not for user {host.user_id()}: owner {owner}, group {group}, "
            f"mode {mode:04o}",
            step,
        )
    ]


def _not_in_dev(path: str) -> Obstacle:
    return Obstacle(
        f"there is no {path}", f"In a container pass --device={path}; else udev has not made it yet"
    )


def _group_not_viable(host: Host, function: PciFunction, group: int) -> list[Obstacle]:
    blocking = [member for member in sysfs.group_members(host, group) if member.blocks]
    if not blocking:
        return []
    return [
        Obstacle(
            f"IOMMU group {group} is not viable: {', '.join(map(str, blocking))}",
            "All of a group goes to VFIO together: as root, "
            f"pymmio bind {function.address} --group",
        )
    ]


def _is_set(host: Host, parameter: str) -> bool:
    return host.text_or_none(parameter) in ("Y", "1")
