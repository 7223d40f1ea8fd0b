"""The slot of the served disk: put the disk in again when its server was lost."""

from __future__ import annotations

from pathlib import Path

from tests.guest.inside import wait_until
from tests.guest.monitor import Monitor
from tests.guest.slots import PLUG_S, Slot
from tests.vfio_user.asking import ask
from tests.vfio_user.cases import disk


def kill_server() -> Slot:
    """End the disk's server as a crash does; return the slot in which the dead disk is."""
    slot = Slot(disk.function())
    ask("kill", "nvme")
    return slot


def replace_disk(slot: Slot) -> Path:
    """Take the dead disk out, start its server again, put a new one in; return the block device."""
    path = disk.function().path
    slot.pull_out()
    wait_until(lambda: not path.exists(), PLUG_S, "the dead disk to go")
    wait_until(slot.is_off, PLUG_S, "the empty slot to be switched off")
    socket = ask("start", "nvme")
    with Monitor() as monitor:
        monitor.command(
            "device_add",
            driver="vfio-user-pci",
            id="nvme-card",
            bus="slot0",
            socket={"type": "unix", "path": socket},
        )
    wait_until(path.exists, PLUG_S, "the new disk to come")
    return disk.node()
