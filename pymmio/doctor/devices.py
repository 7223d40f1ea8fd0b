"""Each PCI function: whether this user can open it now, and if not, what is in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pymmio.backend.vfio import sysfs
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host
from pymmio.doctor.ways import Obstacle, Way, in_the_machine, to_the_device
from pymmio.errors import DeviceNotFound, PolicyRefused
from pymmio.pci.discover import PciDeviceInfo, discover
from pymmio.policy import authorise
from pymmio.uri import DeviceUri

__all__ = ["TOPIC", "functions"]

TOPIC = "devices"
_BRIDGE = 0x06  # PCI Code and ID Assignment 1.11 §1.7: bridges have no driver here


def functions(host: Host) -> Iterator[Finding]:
    """Yield one finding for each PCI function but bridges, and how many of those there are.

    OK means that opening it can be expected to work: bound to VFIO, its group free, its node
    this user's, nobody else has it.
    """
    found = discover(sysfs=host.place("/sys"))
    if not found:
        yield Finding(TOPIC, "PCI functions", State.INFO, "none", "sim:nvme and sim:edu need none")
        return
    obstacles = in_the_machine(host)
    bridges = 0
    for info in found:
        try:
            function = PciFunction.look_up(host, info.address)
        except DeviceNotFound:
            continue  # removed meanwhile
        if info.class_code >> 16 == _BRIDGE and not function.is_bound_to_vfio:
            bridges += 1
        else:
            yield _finding(host, info, function, obstacles)
    if bridges:
        yield Finding(TOPIC, "bridges", State.INFO, f"{bridges}, which stay with the kernel")


@dataclass(frozen=True, slots=True)
class _Verdict:
    state: State
    seen: str
    next_step: str = ""


def _finding(
    host: Host, info: PciDeviceInfo, function: PciFunction, obstacles: dict[Way, list[Obstacle]]
) -> Finding:
    address = str(function.address)
    verdict = _verdict(host, function, obstacles)
    return Finding(
        TOPIC,
        address,
        verdict.state,
        f"{info.name}: {verdict.seen}",
        verdict.next_step,
        needed_for=(f"vfio:{address}",),
    )


def _verdict(host: Host, function: PciFunction, obstacles: dict[Way, list[Obstacle]]) -> _Verdict:
    address, group = function.address, function.iommu_group
    if group is None or sysfs.is_noiommu_group(host, group):
        return _without_iommu(host, function)
    driver = f"driver {function.driver}" if function.driver else "no driver"
    if not function.is_bound_to_vfio:
        return _Verdict(
            State.INFO,
            f"{driver}, {_group(host, function)}",
            f"To drive it, as root: pymmio bind {address}",
        )
    in_the_way = to_the_device(host, function)
    for way, more in obstacles.items():
        in_the_way[way] = [*more, *in_the_way[way]]
    free = [way for way, found in in_the_way.items() if not found]
    if not free:
        # The group is what most kernels offer; the cdev counts where it is nearer.
        nearest = min((Way.GROUP, Way.CDEV), key=lambda way: len(in_the_way[way]))
        first = in_the_way[nearest][0]
        return _Verdict(State.MISSING, f"{driver}, but {first.seen}", first.next_step)
    try:
        authorise(DeviceUri.parse(f"vfio:{address}"))
    except PolicyRefused as error:
        return _Verdict(State.MISSING, f"{driver}, but {error.message}", error.hint or "")
    users = _users(host, function)
    if users:
        seen = f"{driver}, {_group(host, function)}, in use by process {users}"
        return _Verdict(State.INFO, seen, "Close it there, or stop that process")
    seen = f"ready by {' and '.join(free)}, {_group(host, function)}"
    return _Verdict(State.OK, seen, f"pymmio config vfio:{address}")


def _without_iommu(host: Host, function: PciFunction) -> _Verdict:
    driver = f"driver {function.driver}" if function.driver else "no driver"
    if function.iommu_group is not None:
        return _Verdict(
            State.MISSING,
            f"{driver}, without an IOMMU: it reaches all memory",
            f"Only on a machine that may be put at risk: vfio:{function.address}?interface=noiommu",
        )
    if sysfs.any_iommu_group(host):
        seen, step = "in no IOMMU group, others are", "Put the card into another slot"
        return _Verdict(State.MISSING, f"{driver}, {seen}", step)
    return _Verdict(State.INFO, f"{driver}, in no IOMMU group", "Get an IOMMU: see the topic iommu")


def _group(host: Host, function: PciFunction) -> str:
    assert function.iommu_group is not None
    others = [
        member.address
        for member in sysfs.group_members(host, function.iommu_group)
        if member.address != str(function.address)
    ]
    shared = f" with {', '.join(others)}" if others else ""
    return f"group {function.iommu_group}{shared}"


def _users(host: Host, function: PciFunction) -> str:
    """Name the processes that have the function or its group open, as far as this user sees."""
    nodes = [f"/dev/vfio/{function.iommu_group}", sysfs.cdev_path(host, str(function.address))]
    found = [user for node in nodes if node for user in sysfs.holders(host, node)]
    return ", ".join(dict.fromkeys(found))
