"""VFIO: the driver for devices, the interfaces to them, and settings that give up safety."""

from __future__ import annotations

from collections.abc import Iterator

from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host
from pymmio.doctor.iommu import interrupts_are_remapped
from pymmio.doctor.modules import Presence, presence
from pymmio.doctor.ways import UNSAFE, Obstacle, Way, in_the_machine

__all__ = ["TOPIC", "driver", "interfaces", "noiommu", "unsafe_interrupts"]

TOPIC = "vfio"
_NAMES = {Way.CDEV: "cdev and iommufd", Way.GROUP: "group and type1"}
_NOIOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


def driver(host: Host) -> Iterator[Finding]:
    """Yield whether devices can be bound to vfio-pci."""
    where = presence(host, "vfio-pci", "VFIO_PCI")
    if host.exists("/sys/bus/pci/drivers/vfio-pci") and not where.is_there:
        where = Presence.BUILT_IN  # a driver that is there needs no further evidence
    state, step = State.MISSING, "A kernel with CONFIG_VFIO_PCI and its modules installed"
    if where.is_there:
        state, step = State.OK, ""
    elif where is Presence.LOADABLE:
        state, step = State.WARN, "pymmio bind loads it; or as root: modprobe vfio-pci"
    elif where is Presence.UNKNOWN:
        state, step = State.UNKNOWN, "Try as root: modprobe vfio-pci"
    yield Finding(TOPIC, "vfio-pci", state, str(where), step, needed_for=("vfio",))


def interfaces(host: Host) -> Iterator[Finding]:
    """Yield which ways to devices this machine and user have; one is enough."""
    in_the_way = in_the_machine(host)
    free = [way for way, obstacles in in_the_way.items() if not obstacles]
    nearly = [way for way, obstacles in in_the_way.items() if _are_small(obstacles)]
    first = {way: _largest(obstacles) for way, obstacles in in_the_way.items() if obstacles}
    for way, name in _NAMES.items():
        if way in free:
            yield Finding(TOPIC, name, State.OK, f"usable (interface={way})")
        else:
            yield Finding(TOPIC, name, State.INFO, first[way].seen, first[way].next_step)
    if free:
        state, seen, step = State.OK, " and ".join(free), ""
    elif nearly:
        state, seen = State.WARN, f"{' and '.join(nearly)} after one step"
        step = first[nearly[-1]].next_step
    else:
        # The group is what most kernels offer.
        state, step = State.MISSING, first[Way.GROUP].next_step
        seen = "none; " + "; ".join(f"{way}: {first[way].seen}" for way in first)
    yield Finding(TOPIC, "interfaces", state, seen, step, needed_for=("vfio",))


def unsafe_interrupts(host: Host) -> Iterator[Finding]:
    """Yield whether devices may be opened whose interrupts nobody confines."""
    there = {path: host.text_or_none(path) for path in UNSAFE.values()}
    shown = {path.split("/")[3]: value for path, value in there.items() if value is not None}
    allowed = [module for module, value in shown.items() if value in ("Y", "1")]
    if not shown:
        seen, step = "no parameter to be seen: the modules are not loaded", ""
        yield Finding(TOPIC, "unsafe interrupts", State.INFO, seen, step)
    elif not allowed:
        yield Finding(TOPIC, "unsafe interrupts", State.OK, f"refused ({', '.join(shown)})")
    elif interrupts_are_remapped(host):
        seen = f"allowed ({', '.join(allowed)}), though this machine remaps interrupts"
        yield Finding(TOPIC, "unsafe interrupts", State.WARN, seen, _no_longer(allowed))
    else:
        seen = f"allowed ({', '.join(allowed)}): a device can send any interrupt"
        step = f"Only for trusted devices; to end it, {_no_longer(allowed)}"
        yield Finding(TOPIC, "unsafe interrupts", State.WARN, seen, step)


def noiommu(host: Host) -> Iterator[Finding]:
    """Yield whether devices without an IOMMU may be opened, which protects nobody."""
    value = host.text_or_none(_NOIOMMU)
    if value is None:
        yield Finding(TOPIC, "no-IOMMU mode", State.INFO, "not offered by this kernel now")
    elif value in ("Y", "1"):
        yield Finding(
            TOPIC,
            "no-IOMMU mode",
            State.WARN,
            "on: a device without an IOMMU reaches all memory",
            f"To end it, as root: echo 0 > {_NOIOMMU}",
        )
    else:
        yield Finding(TOPIC, "no-IOMMU mode", State.OK, "off")


def _are_small(obstacles: list[Obstacle]) -> bool:
    return bool(obstacles) and all(obstacle.is_small for obstacle in obstacles)


def _largest(obstacles: list[Obstacle]) -> Obstacle:
    return next((obstacle for obstacle in obstacles if not obstacle.is_small), obstacles[0])


def _no_longer(modules: list[str]) -> str:
    paths = (f"/sys/module/{module}/parameters/allow_unsafe_interrupts" for module in modules)
    return f"as root: {'; '.join(f'echo 0 > {path}' for path in paths)}"
