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

# Functions of one slot without ACS share an IOMMU group; behind a root port is a bus to reset.
GROUPS = Guest(
    name="groups",
    devices=(
        "edu,addr=05.0,multifunction=on",
        "nvme,serial=pymmio-0,drive=nvme0,addr=05.1",
        "pcie-root-port,id=port0,chassis=1,addr=06.0",
        "pci-testdev,bus=port0,membar=64K",
    ),
    disks=(Disk("nvme0", 16 * MIB),),
)

# No interrupt remapping: VFIO refuses until unsafe interrupts are allowed.
VIRTIO_IOMMU = Guest(name="virtio-iommu", iommu="virtio", devices=("edu",))

NO_IOMMU = Guest(name="no-iommu", iommu="none", devices=("edu",))

GUESTS = {guest.name: guest for guest in (DEFAULT, GROUPS, VIRTIO_IOMMU, NO_IOMMU)}
