"""What the kernel made of a PCI function: disks, interfaces, device nodes below it in sysfs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pymmio.backend.vfio.bind.machine import Machine

__all__ = ["Node", "nodes_below"]

_SUBSYSTEMS_OF_NVME = "/sys/class/nvme-subsystem"


@dataclass(frozen=True, slots=True)
class Node:
    """A device of the kernel: ``kind`` is its subsystem, such as block, net, nvme, drm.

    ``device`` and ``number`` are its node in /dev and that node's ``b259:0`` or ``c240:1``;
    both are empty for a network interface.
    """

    name: str
    path: str
    kind: str
    device: str = ""
    number: str = ""

    @classmethod
    def read(cls, machine: Machine, path: str) -> Node | None:
        """Read a directory of sysfs that has a file ``dev``; None if it went away."""
        number = machine.text_or_none(f"{path}/dev")
        if number is None:
            return None
        name = path.rsplit("/", 1)[-1]
        kind = machine.link_name(f"{path}/subsystem") or ""
        return cls(
            name=name,
            path=path,
            kind=kind,
            device=f"/dev/{_node_name(machine, path) or name.replace('!', '/')}",
            number=f"{'b' if kind == 'block' else 'c'}{number}",
        )


def nodes_below(machine: Machine, path: str) -> tuple[Node, ...]:
    """Return the devices at or below a directory of sysfs.

    The disks of an NVMe subsystem with several ways are included: they hang below none of
    their controllers.
    """
    found = list(_walk(machine, machine.real_path(path)))
    controllers = [node.name for node in found if node.kind == "nvme"]
    for subsystem in machine.listed(_SUBSYSTEMS_OF_NVME) if controllers else ():
        place = f"{_SUBSYSTEMS_OF_NVME}/{subsystem}"
        if any(machine.exists(f"{place}/{name}") for name in controllers):
            found += _walk(machine, machine.real_path(place))
    unique = {node.path: node for node in found}
    return tuple(unique.values())


def _walk(machine: Machine, top: str) -> Iterator[Node]:
    for path, files in machine.walk(top):
        if "dev" in files:
            node = Node.read(machine, path)
            if node is not None:
                yield node
        elif "ifindex" in files:
            yield Node(path.rsplit("/", 1)[-1], path, "net")


def _node_name(machine: Machine, path: str) -> str | None:
    for line in (machine.text_or_none(f"{path}/uevent") or "").splitlines():
        key, _, value = line.partition("=")
        if key == "DEVNAME":
            return value
    return None
