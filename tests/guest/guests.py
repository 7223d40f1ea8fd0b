"""The guests that cases can ask for by name."""

from __future__ import annotations

from tests.guest.guest import Disk, Guest

MIB = 1 << 20

DEFAULT = Guest(
    name="default",
    devices=(
        "edu",
        "nvme,serial=pymmio-0,drive=nvme0",
        "pci-testdev",
    ),
    disks=(Disk("nvme0", 256 * MIB),),
)

GUESTS = {guest.name: guest for guest in (DEFAULT,)}
