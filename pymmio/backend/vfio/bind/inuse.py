"""Who uses a PCI function: everything that would be hurt if its driver let it go.

All of it is read; nothing is opened but, at the very end of :func:`claimed_disks`, the disks.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pymmio.backend.vfio.bind.blocks import (
    Layer,
    block_layers,
    mounted_out_of_sight,
    mounts_on,
    swaps_on,
)
from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.bind.nodes import Node, nodes_below
from pymmio.backend.vfio.bind.processes import OpenFile, find_open
from pymmio.backend.vfio.sysfs import PciFunction, directory

__all__ = ["Findings", "Use", "claimed_disks", "find_uses"]

_IFF_UP = 0x1  # include/uapi/linux/if.h


@dataclass(frozen=True, slots=True)
class Use:
    """One thing that uses a function: what, the next step, and whether force may override it."""

    what: str
    remedy: str = ""
    may_force: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {"what": self.what, "remedy": self.remedy, "may_force": self.may_force}

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class Findings:
    """What uses a function, its disks, and how many processes could not be looked into."""

    uses: tuple[Use, ...]
    disks: tuple[Node, ...]
    hidden_processes: int


def find_uses(machine: Machine, function: PciFunction) -> Findings:
    """Look for all uses of a function through its kernel driver.  Reads only."""
    path = directory(function.address)
    nodes = nodes_below(machine, path)
    layers = block_layers(machine, nodes)
    files, hidden = _open_files(machine, path, nodes, layers)
    uses = [
        *_mounted(machine, layers),
        *_swapped(machine, layers),
        *_held(layers),
        *_consoles(machine, nodes),
        *_system_ram(machine, nodes),
        *_virtual_functions(machine, path),
        *_interfaces(machine, nodes),
        *_display(machine, path),
        *files,
    ]
    disks = tuple(layer.node for layer in layers if layer.base is None)
    return Findings(tuple(uses), disks, hidden)


def claimed_disks(machine: Machine, disks: Iterable[Node]) -> tuple[Use, ...]:
    """Return the disks that something in the kernel claims for itself, whatever it is.

    Opens each for reading and exclusively for a moment, as mount does: what is claimed, or a
    part of it, answers EBUSY.  This finds what sysfs does not name: ZFS, storage targets.
    """
    claimed = []
    for disk in disks:
        try:
            fd = machine.open(disk.device, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.EBUSY:
                claimed.append(Use(f"{disk.device} is claimed by something in the kernel"))
            continue
        machine.close(fd)
    return tuple(claimed)


def _mounted(machine: Machine, layers: tuple[Layer, ...]) -> Iterator[Use]:
    mounts = mounts_on(machine, layers)
    for mount in mounts:
        seen = f" (as process {mount.pid} sees it)" if mount.pid else ""
        enter = f"nsenter -t {mount.pid} -m " if mount.pid else ""
        yield Use(
            f"{mount.layer.chain} ({mount.fs_type}) is mounted at {mount.point}{seen}",
            "" if mount.point == "/" else f"{enter}umount {shlex.quote(mount.point)}",
        )
    visible = {mount.layer.node.name for mount in mounts}
    for layer, fs_type in mounted_out_of_sight(machine, layers):
        if layer.node.name not in visible:
            yield Use(
                f"{layer.chain} holds a file system ({fs_type}) that is in use, "
                "with a mount that cannot be seen from here",
                "end what was started in it (umount -l leaves such mounts, and containers)",
            )


def _swapped(machine: Machine, layers: tuple[Layer, ...]) -> Iterator[Use]:
    for layer in swaps_on(machine, layers):
        yield Use(f"{layer.chain} is swap space", f"swapoff {layer.node.device}")


def _held(layers: tuple[Layer, ...]) -> Iterator[Use]:
    """Yield the highest layers first: they are taken apart in this order."""
    for layer in reversed(layers):
        if layer.base is not None and not layer.is_partition:
            yield Use(f"{layer.base.node.device} is part of {layer.label}", layer.remedy)


def _consoles(machine: Machine, nodes: tuple[Node, ...]) -> Iterator[Use]:
    """Read lines such as ``ttyS0  -W- (EC p a)    4:64``."""
    text = machine.text_or_none("/proc/consoles") or ""
    numbers = {line.split()[-1] for line in text.splitlines() if line.split()}
    for node in nodes:
        if node.number.startswith("c") and node.number[1:] in numbers:
            yield Use(f"{node.device} is the console of the kernel")


def _system_ram(machine: Machine, nodes: tuple[Node, ...]) -> Iterator[Use]:
    for node in nodes:
        if node.kind == "dax" and machine.link_name(f"{node.path}/driver") == "kmem":
            yield Use(
                f"{node.device} is used as system RAM",
                f"daxctl offline-memory {node.name}; daxctl reconfigure-device -m devdax "
                f"{node.name}",
            )


def _virtual_functions(machine: Machine, path: str) -> Iterator[Use]:
    count = machine.text_or_none(f"{path}/sriov_numvfs")
    if count is not None and count.isdigit() and int(count) > 0:
        yield Use(
            f"it has {count} virtual functions, which would go away",
            f"echo 0 > {path}/sriov_numvfs",
        )


def _interfaces(machine: Machine, nodes: tuple[Node, ...]) -> Iterator[Use]:
    for node in nodes:
        if node.kind != "net":
            continue
        flags = machine.text_or_none(f"{node.path}/flags")
        if flags is not None and int(flags, 16) & _IFF_UP:
            master = machine.link_name(f"{node.path}/master")
            part = f", and part of {master}" if master else ""
            yield Use(
                f"network interface {node.name} is up{part}",
                f"ip link set {node.name} down",
                may_force=True,
            )


def _display(machine: Machine, path: str) -> Iterator[Use]:
    if machine.text_or_none(f"{path}/boot_vga") == "1":
        yield Use("it is the display that the machine booted with", may_force=True)


def _open_files(
    machine: Machine, path: str, nodes: tuple[Node, ...], layers: tuple[Layer, ...]
) -> tuple[tuple[Use, ...], int]:
    """Find who has a device node of it open, or one of the files that map its BARs."""
    devices = {
        node.device: node.number
        for node in (*nodes, *(layer.node for layer in layers))
        if node.device
    }
    numbers = {number: device for device, number in devices.items()}
    place = machine.real_path(path)

    def match(target: str) -> str | None:
        if target in devices:
            return target
        if target.startswith(f"{place}/resource"):
            return target
        if target.startswith("/dev/") and numbers:
            number = machine.node_number(target)  # a node by another name
            return None if number is None else numbers.get(number)
        return None

    files = find_open(machine, match)
    by_what: dict[str, list[OpenFile]] = {}
    for file in files.found:
        by_what.setdefault(file.what, []).append(file)
    uses = tuple(
        Use(
            f"{what} is open in {', '.join(map(str, users))}",
            "stop what runs there"
            if os.getpid() not in {user.pid for user in users}
            else "close it in this program",
            may_force=True,
        )
        for what, users in by_what.items()
    )
    return uses, files.hidden
