"""The guests that cases can ask for by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.guest.guest import RUN, SHARE, Disk, Guest

MIB = 1 << 20
MESSAGE_MS = 30_000  # QEMU gives up a vfio-user server that is later; the machine may be busy

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

# For the drivers' own tests, which reset: edu has no way of its own, but a port before it has.
DRIVERS = Guest(
    name="drivers",
    devices=(
        "nvme,serial=pymmio-0,drive=nvme0",
        "pcie-root-port,id=port0,chassis=1,addr=06.0",
        "edu,bus=port0",
    ),
    disks=DEFAULT.disks,
)

# No interrupt remapping: VFIO refuses unless unsafe interrupts are allowed.
VIRTIO_IOMMU = Guest(
    name="virtio-iommu",
    iommu="virtio",
    devices=DEFAULT.devices,
    disks=DEFAULT.disks,
    kernel_arguments=(
        "vfio_iommu_type1.allow_unsafe_interrupts=1",
        "iommufd.allow_unsafe_interrupts=1",
    ),
)

# Two devices for one address space, and a card with virtual functions.
SHARED = Guest(
    name="shared",
    devices=(
        "edu",
        "edu",
        "nvme-subsys,id=subsystem,nqn=pymmio",
        "pcie-root-port,id=port0,chassis=1,addr=06.0",
        "nvme,serial=pymmio-0,bus=port0,subsys=subsystem,max_ioqpairs=6,msix_qsize=8,"
        "sriov_max_vfs=2,sriov_vq_flexible=4,sriov_vi_flexible=4",
    ),
)

# Two slots with native PCI Express hot-plug (not ACPI's), and QEMU's monitor inside the guest:
# tests.guest.monitor.  QEMU talks to itself over a socket whose other end is a virtio port.
SLOTS = Guest(
    name="slots",
    devices=(
        "pcie-root-port,id=slot0,chassis=1,slot=1,addr=06.0",
        "pcie-root-port,id=slot1,chassis=2,slot=2,addr=07.0",
        "nvme,id=nvme-card,serial=pymmio-0,drive=nvme0,bus=slot0",
        "pci-testdev,id=test-card,bus=slot1,membar=64K",
        "virtio-serial-pci",
        "virtserialport,chardev=monitor,name=monitor",
    ),
    disks=(Disk("nvme0", 16 * MIB),),
    qemu_arguments=(
        *("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
        *("-chardev", f"socket,id=qmp,abstract=on,path={RUN},server=on,wait=off"),
        *("-chardev", f"socket,id=monitor,abstract=on,path={RUN}"),
        *("-mon", "chardev=qmp,mode=control"),
    ),
)

# Plain device memory that QEMU reaches by calls, each of which it can write to a log (trace event
# memory_region_ops_*); the monitor inside the guest switches that on: cases/case_rules.py.
RULES = Guest(
    name="rules",
    devices=(
        "nvme,serial=pymmio-0,drive=nvme0,cmb_size_mb=1,legacy-cmb=on",
        "virtio-serial-pci",
        "virtserialport,chardev=monitor,name=monitor",
    ),
    disks=(Disk("nvme0", 16 * MIB),),
    qemu_arguments=(
        *("-chardev", f"socket,id=qmp,abstract=on,path={RUN},server=on,wait=off"),
        *("-chardev", f"socket,id=monitor,abstract=on,path={RUN}"),
        *("-mon", "chardev=qmp,mode=control"),
    ),
)

NETWORK = Guest(name="network", devices=("virtio-net-pci,disable-legacy=on,iommu_platform=on",))

# Each kind of reset: none (edu), FLR (nvme), power management and bus (e1000e alone behind a
# port), hot (two functions behind a port).  The ROM is that of tests/unit/pci/roms.py.  Slots say
# that a card is in them only where hot-plug is not ACPI's.
ROM = str(Path(__file__).parent / "roms" / "two_images.rom").replace(",", ",,")
EXTRAS = Guest(
    name="extras",
    devices=(
        "edu",
        f"nvme,serial=pymmio-0,romfile={ROM}",
        "pcie-root-port,id=port0,chassis=1,addr=06.0",
        f"e1000e,bus=port0,romfile={ROM}",
        "pcie-root-port,id=port1,chassis=2,addr=07.0",
        "pci-testdev,bus=port1,addr=00.0,multifunction=on,membar=64K",
        "pci-testdev,bus=port1,addr=00.1,membar=64K",
    ),
    qemu_arguments=("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
)

# Without VFIO: BARs smaller than a page (sdhci has 256 bytes) that share one, a prefetchable one
# (ivshmem), and memory that no BAR leads to (virtio-pmem).
SYSFS = Guest(
    name="sysfs",
    devices=(
        *DEFAULT.devices,
        "sdhci-pci",
        "sdhci-pci",
        "ivshmem-plain,memdev=shared",
        "virtio-pmem-pci,memdev=persistent,disable-legacy=on,iommu_platform=on",
    ),
    disks=DEFAULT.disks,
    qemu_arguments=(
        *("-m", "slots=2,maxmem=2G"),
        *("-object", "memory-backend-ram,id=shared,size=1M,share=on"),
        *("-object", "memory-backend-memfd,id=persistent,size=16M,share=on"),
    ),
)

# edu reaches 28 bits of addresses unless it is told otherwise (QEMU docs/specs/edu.rst).
NO_IOMMU = Guest(
    name="no-iommu",
    iommu="none",
    devices=("edu,dma_mask=0xffffffffff", "nvme,serial=pymmio-0,drive=nvme0"),
    disks=(Disk("nvme0", 16 * MIB),),
)

# A function is known by its zPCI device: uid is its PCI domain, fid its slot.  The memory buffer
# of the controller (BAR 2) answers all widths alike.  Each call to device memory is in a log:
# tests/s390x/qemu_log.py.  Emulated memory and instructions: slow.
S390X = Guest(
    name="s390x",
    arch="s390x",
    iommu="zpci",
    devices=(
        "zpci,uid=1,fid=16,target=nvme-card,id=zpci0",
        "nvme,id=nvme-card,serial=pymmio-0,drive=nvme0,cmb_size_mb=1,legacy-cmb=on",
        "zpci,uid=2,fid=17,target=rng-card,id=zpci1",
        "virtio-rng-pci,id=rng-card,disable-legacy=on,iommu_platform=on,packed=on",
    ),
    disks=(Disk("nvme0", 64 * MIB),),
    qemu_arguments=("-D", f"{SHARE}/accesses.log", "-trace", "memory_region_ops_*"),
    boot_timeout_s=300.0,
    grace_s=120.0,
)


def _vfio_user(name: str, **options: str) -> str:
    """Return the device of a model that is served beside the guest; only JSON names a socket."""
    socket = {"type": "unix", "path": f"@{name}@"}
    device = {"driver": "vfio-user-pci", "socket": socket, "x-msg-timeout": MESSAGE_MS}
    return json.dumps(device | options)


# Models in Python as devices of a newer QEMU: tests/vfio_user.  The disk is in a slot; the other
# one is empty, for a new disk when its server was lost.
VFIO_USER = Guest(
    name="vfio-user",
    arch="x86_64-newer",
    devices=(
        "pcie-root-port,id=slot0,chassis=1,slot=1,addr=06.0",
        "pcie-root-port,id=slot1,chassis=2,slot=2,addr=07.0",
        _vfio_user("NVME", id="nvme-card", bus="slot0"),
        _vfio_user("RECORDER"),
        _vfio_user("EDU"),
        "virtio-serial-pci",
        "virtserialport,chardev=monitor,name=monitor",
    ),
    memory_mib=512,
    qemu_arguments=(
        *("-object", "memory-backend-memfd,id=ram,size=512M,share=on"),
        *SLOTS.qemu_arguments,
    ),
    beside="tests.vfio_user.serving:beside_guest",
    may_reboot=True,
)

# The same disk without an IOMMU: all memory is mapped at once.
VFIO_USER_PLAIN = replace(VFIO_USER, name="vfio-user-plain", iommu="none")

# And one whose disk dies.
VFIO_USER_LOST = replace(VFIO_USER_PLAIN, name="vfio-user-lost")

# Persistent memory of both kinds (QEMU's own lies beside RAM, the served one in a BAR), regions of
# shared memory, and virtio devices that judge queues: tests/vfio_user/cases/case_memory.py.
MEMORY = Guest(
    name="memory",
    arch="x86_64-newer",
    devices=(
        "virtio-pmem-pci,memdev=persistent,disable-legacy=on,iommu_platform=on,addr=08.0",
        _vfio_user("PMEM", addr="09.0"),
        _vfio_user("SHM"),
        "virtio-rng-pci,disable-legacy=on,iommu_platform=on,packed=on",
        "virtio-gpu-pci,disable-legacy=on,iommu_platform=on,hostmem=64M",
    ),
    memory_mib=512,
    qemu_arguments=(
        *("-m", "slots=2,maxmem=2G"),
        *("-object", "memory-backend-memfd,id=ram,size=512M,share=on"),
        "-object",
        f"memory-backend-file,id=persistent,size=16M,share=on,mem-path={SHARE}/qemu-pmem",
        *("-D", f"{SHARE}/qemu.log", "-trace", "virtio_pmem_*"),
    ),
    beside="tests.vfio_user.memory_serving:beside_guest",
)

# The disk and the recorder behind zPCI, which takes only functions that have MSI-X.
S390X_VFIO_USER = replace(
    S390X,
    name="s390x-vfio-user",
    arch="s390x-newer",
    devices=(
        "zpci,uid=1,fid=16,target=nvme-card,id=zpci0",
        _vfio_user("NVME", id="nvme-card"),
        "zpci,uid=2,fid=17,target=recorder-card,id=zpci1",
        _vfio_user("RECORDER", id="recorder-card"),
    ),
    disks=(),
    memory_mib=512,
    qemu_arguments=("-object", "memory-backend-memfd,id=ram,size=512M,share=on"),
    beside=VFIO_USER.beside,
)

GUESTS = {
    guest.name: guest
    for guest in (
        DEFAULT,
        DRIVERS,
        GROUPS,
        VIRTIO_IOMMU,
        SHARED,
        SLOTS,
        RULES,
        NETWORK,
        EXTRAS,
        SYSFS,
        NO_IOMMU,
        S390X,
        VFIO_USER,
        VFIO_USER_PLAIN,
        VFIO_USER_LOST,
        MEMORY,
        S390X_VFIO_USER,
    )
}
