"""Block devices and what stands on them: partitions, device mapper, RAID, loop, file systems."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.bind.nodes import Node
from pymmio.backend.vfio.bind.processes import MountTable, mount_tables

__all__ = ["Layer", "Mount", "block_layers", "mounted_out_of_sight", "mounts_on", "swaps_on"]

_BLOCKS = "/sys/class/block"
_ESCAPE = re.compile(r"\\([0-7]{3})")

# Directories of /sys/fs with an entry for each block device that holds a mounted file system
# of theirs, whoever sees the mount (Linux Documentation/ABI/testing/sysfs-fs-*).
_FS_BY_NAME = ("ext4", "xfs", "f2fs", "erofs", "nilfs2")


@dataclass(frozen=True, slots=True)
class Layer:
    """A block device of the stack; ``base`` is the one that it stands on, None for a disk."""

    node: Node
    what: str
    remedy: str
    base: Layer | None

    @property
    def is_partition(self) -> bool:
        """Whether it is a part of its base, which is no use by itself."""
        return self.what == "partition"

    @property
    def chain(self) -> str:
        """Say where it stands, down to the disk: ``/dev/dm-0 on /dev/nvme0n1p2``."""
        layer, names = self, [self.label]
        while layer.base is not None:
            layer, below = layer.base, layer
            if not below.is_partition:
                names.append(layer.node.device)
        return " on ".join(names)

    @property
    def label(self) -> str:
        """Name it: its node, and what it is where that is not plain."""
        plain = self.is_partition or self.base is None
        return self.node.device if plain else f"{self.node.device} ({self.what})"


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system that is mounted from a layer; ``pid`` sees it there, 0 is ourselves."""

    layer: Layer
    point: str
    fs_type: str
    pid: int


def block_layers(machine: Machine, disks: Iterable[Node]) -> tuple[Layer, ...]:
    """Return the block devices among ``disks`` and everything that stands on them."""
    loops = tuple(_loops(machine))
    layers: dict[str, Layer] = {}
    queue = deque(
        Layer(node, "disk", "", None)
        for node in disks
        if node.kind == "block" and not machine.exists(f"{node.path}/partition")
    )
    while queue:
        layer = queue.popleft()
        if layer.node.name in layers:
            continue
        layers[layer.node.name] = layer
        queue.extend(_upon(machine, layer, loops))
    return tuple(layers.values())


def _upon(machine: Machine, layer: Layer, loops: Iterable[tuple[str, str]]) -> Iterator[Layer]:
    place = f"{_BLOCKS}/{layer.node.name}"
    for name in machine.listed(place):
        if machine.exists(f"{place}/{name}/partition"):
            yield from _layer(machine, name, "partition", "", layer)
    for name in machine.listed(f"{place}/holders"):
        yield from _layer(machine, name, *_describe(machine, name), layer)
    for name, backing in loops:
        if backing == layer.node.device or machine.node_number(backing) == layer.node.number:
            remedy = f"losetup -d /dev/{name}"
            yield from _layer(machine, name, f"loop device of {backing}", remedy, layer)


def _layer(machine: Machine, name: str, what: str, remedy: str, base: Layer) -> Iterator[Layer]:
    node = Node.read(machine, machine.real_path(f"{_BLOCKS}/{name}"))
    if node is not None:
        yield Layer(node, what, remedy, base)


def _describe(machine: Machine, name: str) -> tuple[str, str]:
    """Say what a holder is, and the command that takes it apart."""
    mapped = machine.text_or_none(f"{_BLOCKS}/{name}/dm/name")
    if mapped is not None:
        uuid = machine.text_or_none(f"{_BLOCKS}/{name}/dm/uuid") or ""
        if uuid.startswith("LVM-"):
            return f"LVM volume {mapped}", f"lvchange -an /dev/mapper/{mapped}"
        if uuid.startswith("CRYPT-"):
            return f"encrypted device {mapped}", f"cryptsetup close {mapped}"
        if uuid.startswith("mpath-"):
            return f"multipath device {mapped}", f"multipath -f {mapped}"
        return f"device mapper {mapped}", f"dmsetup remove {mapped}"
    if machine.exists(f"{_BLOCKS}/{name}/md"):
        level = machine.text_or_none(f"{_BLOCKS}/{name}/md/level") or "RAID"
        return f"{level} array", f"mdadm --stop /dev/{name}"
    if machine.exists(f"{_BLOCKS}/{name}/bcache"):
        return "bcache", f"echo 1 > /sys/block/{name}/bcache/stop"
    return "its holder", ""


def _loops(machine: Machine) -> Iterator[tuple[str, str]]:
    for name in machine.listed(_BLOCKS):
        if name.startswith("loop"):
            backing = machine.text_or_none(f"{_BLOCKS}/{name}/loop/backing_file")
            if backing:
                yield name, backing


def mounts_on(machine: Machine, layers: Iterable[Layer]) -> tuple[Mount, ...]:
    """Return the file systems mounted from ``layers``, as any process sees them."""
    known = tuple(layers)
    found: dict[tuple[str, str, str], Mount] = {}
    for table in mount_tables(machine) if known else ():
        for mount in _parse(machine, table, known):
            found.setdefault((mount.layer.node.name, mount.point, mount.fs_type), mount)
    return tuple(found.values())


def _parse(machine: Machine, table: MountTable, layers: tuple[Layer, ...]) -> Iterator[Mount]:
    """Read lines of mountinfo: ``36 35 98:0 /root /point opts - type source superopts``."""
    for line in table.text.splitlines():
        left, dash, right = line.partition(" - ")
        words, behind = left.split(" "), right.split(" ")
        if not dash or len(words) < 5 or len(behind) < 2:
            continue
        source = _unescaped(behind[1])
        for layer in layers:
            # btrfs has device numbers of its own: there the source tells.
            if f"b{words[2]}" == layer.node.number or _is_device(machine, source, layer):
                yield Mount(layer, _unescaped(words[4]), behind[0], table.pid)


def swaps_on(machine: Machine, layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers that are swap space; a swap file is on a mounted file system."""
    lines = (machine.text_or_none("/proc/swaps") or "").splitlines()[1:]
    paths = [_unescaped(line.split()[0]) for line in lines if line.split()]
    return tuple(
        layer for layer in layers if any(_is_device(machine, path, layer) for path in paths)
    )


def mounted_out_of_sight(
    machine: Machine, layers: Iterable[Layer]
) -> tuple[tuple[Layer, str], ...]:
    """Return layers whose file system the kernel has in use, with its type, mount or no mount."""
    found = []
    btrfs = [
        name
        for uuid in machine.listed("/sys/fs/btrfs")
        for name in machine.listed(f"/sys/fs/btrfs/{uuid}/devices")
    ]
    for layer in layers:
        name = layer.node.name
        found += [(layer, fs) for fs in _FS_BY_NAME if machine.exists(f"/sys/fs/{fs}/{name}")]
        if name in btrfs:
            found.append((layer, "btrfs"))
    return tuple(found)


def _is_device(machine: Machine, path: str, layer: Layer) -> bool:
    if not path.startswith("/"):
        return False
    return path == layer.node.device or (
        path.startswith("/dev/") and machine.node_number(path) == layer.node.number
    )


def _unescaped(text: str) -> str:
    """Undo what the kernel makes of blanks and backslashes: ``\\040`` is a blank."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
