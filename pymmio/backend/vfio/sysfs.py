"""What sysfs and procfs say about a PCI function, its driver and its IOMMU group.

Read-only: nothing here binds, unbinds or loads anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.backend.vfio.kernel import Kernel
from pymmio.errors import DeviceNotFound
from pymmio.pci.address import PciAddress

__all__ = [
    "CDEVS",
    "GroupMember",
    "PciFunction",
    "any_iommu_group",
    "cdev_path",
    "group_members",
    "holders",
    "is_noiommu_group",
    "reset_methods",
]

_DEVICES = "/sys/bus/pci/devices"
_GROUPS = "/sys/kernel/iommu_groups"
CDEVS = "/dev/vfio/devices"  #: the nodes of devices that can be opened without their group
_IORESOURCE_IO = 0x100  # include/linux/ioport.h: the resource is a range of I/O ports

# Drivers that may sit on other members of a group without making it unviable: they do no
# DMA of their own (drivers/pci/pci-stub.c and pcie/portdrv.c set driver_managed_dma).
_HARMLESS = frozenset({"pci-stub", "pcieport"})


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A device of an IOMMU group and the driver that is bound to it, if any."""

    address: str
    driver: str | None

    @property
    def blocks(self) -> bool:
        """Whether its driver keeps the group from being used by VFIO."""
        return self.driver is not None and not (
            self.driver in _HARMLESS or _is_vfio_name(self.driver)
        )

    def __str__(self) -> str:
        return f"{self.address} ({self.driver or 'no driver'})"


@dataclass(frozen=True, slots=True)
class PciFunction:
    """A PCI function as sysfs shows it at one moment."""

    address: PciAddress
    vendor_id: int
    device_id: int
    driver: str | None
    has_vfio_device: bool  #: a VFIO driver has it, whatever that driver's name
    iommu_group: int | None
    io_port_bars: frozenset[int]
    vfio_name: str | None = None  #: its name in /dev/vfio/devices, if this kernel has cdevs
    physical_function: str | None = None  #: the address, where this is a virtual function
    has_sriov: bool = False  #: it can have virtual functions

    @classmethod
    def look_up(cls, kernel: Kernel, address: PciAddress) -> PciFunction:
        """Read what sysfs says.  Raises DeviceNotFound."""
        path = directory(address)
        if not kernel.exists(path):
            raise DeviceNotFound(
                f"no PCI device {address}",
                hint="See `pymmio list` for those that exist; a device that was removed "
                "comes back with `echo 1 > /sys/bus/pci/rescan`",
            )
        try:
            return cls(
                address=address,
                vendor_id=int(kernel.read_text(f"{path}/vendor"), 16),
                device_id=int(kernel.read_text(f"{path}/device"), 16),
                driver=_link_name(kernel, f"{path}/driver"),
                has_vfio_device=kernel.exists(f"{path}/vfio-dev"),
                iommu_group=_group_number(kernel, path),
                io_port_bars=_io_port_bars(kernel, path),
                vfio_name=_vfio_name(kernel, path),
                physical_function=_link_name(kernel, f"{path}/physfn"),
                has_sriov=kernel.exists(f"{path}/sriov_totalvfs"),
            )
        except FileNotFoundError as error:  # it was there a moment ago
            raise DeviceNotFound(
                f"PCI device {address} vanished while it was looked at",
                hint="It was removed; see `pymmio list`",
            ) from error

    @property
    def is_bound_to_vfio(self) -> bool:
        """Whether a driver of VFIO has the device (vfio-pci or a variant of it)."""
        return self.driver is not None and (self.has_vfio_device or _is_vfio_name(self.driver))


def directory(address: PciAddress) -> str:
    """Return the directory of a function in sysfs."""
    return f"{_DEVICES}/{address}"


def reset_methods(kernel: Kernel, address: PciAddress) -> tuple[str, ...] | None:
    """Return the ways that the kernel would reset a function by, best first.

    None where it shows no file: there is no way, or it is older than Linux 5.15.
    """
    try:
        return tuple(kernel.read_text(f"{directory(address)}/reset_method").split())
    except OSError:
        return None


def is_noiommu_group(kernel: Kernel, group: int) -> bool:
    """Tell whether VFIO made the group up for a device that no IOMMU confines."""
    try:
        return kernel.read_text(f"{_GROUPS}/{group}/name") == "vfio-noiommu"
    except OSError:
        return False


def any_iommu_group(kernel: Kernel) -> bool:
    """Tell whether the kernel has any IOMMU group, which it has when an IOMMU is on."""
    try:
        return bool(kernel.list_directory(_GROUPS))
    except OSError:
        return False


def group_members(kernel: Kernel, group: int) -> tuple[GroupMember, ...]:
    """Return the devices of an IOMMU group; empty where sysfs does not say."""
    path = f"{_GROUPS}/{group}/devices"
    try:
        names = kernel.list_directory(path)
    except OSError:
        return ()
    return tuple(
        GroupMember(name, _link_name(kernel, f"{_DEVICES}/{name}/driver")) for name in names
    )


def cdev_path(kernel: Kernel, address: str) -> str | None:
    """Return the node by which a function can be opened without its group, if it has one."""
    name = _vfio_name(kernel, f"{_DEVICES}/{address}")
    return None if name is None else f"{CDEVS}/{name}"


def holders(kernel: Kernel, path: str) -> tuple[str, ...]:
    """Name the processes that have ``path`` open, as far as /proc lets us look."""
    found = []
    for pid in _listed(kernel, "/proc"):
        if not pid.isdigit():
            continue
        for number in _listed(kernel, f"/proc/{pid}/fd"):
            if _read_link(kernel, f"/proc/{pid}/fd/{number}") == path:
                try:
                    name = kernel.read_text(f"/proc/{pid}/comm")
                except OSError:
                    name = "?"
                found.append(f"{pid} ({name})")
                break
    return tuple(found)


def _is_vfio_name(driver: str) -> bool:
    return driver.replace("_", "-").endswith(("vfio-pci", "vfio"))


def _read_link(kernel: Kernel, path: str) -> str | None:
    try:
        return kernel.read_link(path)
    except OSError:
        return None


def _link_name(kernel: Kernel, path: str) -> str | None:
    target = _read_link(kernel, path)
    return None if target is None else target.rsplit("/", 1)[-1]


def _group_number(kernel: Kernel, path: str) -> int | None:
    name = _link_name(kernel, f"{path}/iommu_group")
    return int(name) if name is not None and name.isdigit() else None


def _vfio_name(kernel: Kernel, path: str) -> str | None:
    """Return the device's name among the cdevs; kernels without them name it too, but no node."""
    for name in _listed(kernel, f"{path}/vfio-dev"):
        if kernel.exists(f"{path}/vfio-dev/{name}/dev"):
            return name
    return None


def _io_port_bars(kernel: Kernel, path: str) -> frozenset[int]:
    """Read the file ``resource``: a line of first, last, flags for each BAR."""
    found = set()
    for index, line in enumerate(kernel.read_text(f"{path}/resource").splitlines()[:6]):
        words = line.split()
        if len(words) == 3 and int(words[2], 16) & _IORESOURCE_IO:
            found.add(index)
    return frozenset(found)


def _listed(kernel: Kernel, path: str) -> list[str]:
    try:
        return kernel.list_directory(path)
    except OSError:
        return []
