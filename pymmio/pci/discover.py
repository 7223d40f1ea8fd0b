"""Which PCI functions this machine has.

pyudev enumerates them and knows names where udev's database runs; what the kernel says
of each is read from its sysfs directory, so nothing depends on that database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pymmio.notebook import html_table
from pymmio.pci.address import PciAddress
from pymmio.pci.bars import format_size
from pymmio.pci.ids import PciNames, system_names
from pymmio.pci.match import PciIds

__all__ = ["PciDeviceInfo", "PciDeviceList", "PciResource", "discover"]

# Resource flags that the kernel prints in sysfs: Linux 6.12 include/linux/ioport.h.
_IORESOURCE_IO = 0x0000_0100
_IORESOURCE_MEM = 0x0000_0200
_IORESOURCE_PREFETCH = 0x0000_2000
_IORESOURCE_MEM_64 = 0x0010_0000

_ROM = 6  # Documentation/PCI/sysfs-pci.rst: six BARs, then the expansion ROM
_NO_NODE = -1

_SYSFS = Path("/sys")
_DEVICES = Path("bus/pci/devices")


@dataclass(frozen=True, slots=True)
class PciResource:
    """What the kernel assigned to a BAR (index 0 to 5) or the expansion ROM (6).

    ``address`` is the processor's view of where it starts (0: not assigned, or not shown),
    ``size`` is in bytes.
    """

    index: int
    address: int
    size: int
    is_io: bool = False
    is_64bit: bool = False
    is_prefetchable: bool = False

    def as_dict(self) -> dict[str, int | bool]:
        """Return the values by name, ready for JSON."""
        return {
            "index": self.index,
            "address": self.address,
            "size": self.size,
            "is_io": self.is_io,
            "is_64bit": self.is_64bit,
            "is_prefetchable": self.is_prefetchable,
        }

    def __str__(self) -> str:
        what = "ROM" if self.index == _ROM else f"BAR{self.index}"
        return f"{what} {format_size(self.size)}" + (" I/O" if self.is_io else "")


@dataclass(frozen=True, slots=True)
class PciDeviceInfo:
    """A PCI function of this machine, as it was when discover() looked.

    ``driver``, ``iommu_group`` and ``numa_node`` are None where there is none.
    """

    address: PciAddress
    vendor_id: int
    device_id: int
    class_code: int
    revision_id: int
    subsystem_vendor_id: int
    subsystem_id: int
    name: str
    class_name: str
    driver: str | None
    iommu_group: int | None
    numa_node: int | None
    resources: tuple[PciResource, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON; the address as text."""
        return {
            "address": str(self.address),
            "vendor_id": self.vendor_id,
            "device_id": self.device_id,
            "class_code": self.class_code,
            "revision_id": self.revision_id,
            "subsystem_vendor_id": self.subsystem_vendor_id,
            "subsystem_id": self.subsystem_id,
            "name": self.name,
            "class_name": self.class_name,
            "driver": self.driver,
            "iommu_group": self.iommu_group,
            "numa_node": self.numa_node,
            "resources": [resource.as_dict() for resource in self.resources],
        }

    def __str__(self) -> str:
        return f"{self.address} {self.name} (driver {self.driver or 'none'})"


class PciDeviceList(list[PciDeviceInfo]):
    """A list of PCI functions that shows as a table in a notebook."""

    def _repr_html_(self) -> str:
        columns = ("address", "id", "name", "class", "driver", "IOMMU group", "resources")
        rows = [
            (
                str(info.address),
                f"{info.vendor_id:04x}:{info.device_id:04x}",
                info.name,
                info.class_name,
                info.driver or "none",
                "none" if info.iommu_group is None else str(info.iommu_group),
                ", ".join(map(str, info.resources)) or "none",
            )
            for info in self
        ]
        title = f"{len(self)} PCI functions" if self else "no PCI functions"
        return html_table(title, columns, rows, mono=("address", "id"))


def discover(*, sysfs: Path | str | None = None) -> PciDeviceList:
    """Return all PCI functions that the kernel shows, sorted by address.

    Read-only, needs no rights and no running udev; an empty list where there is no PCI.
    A function that disappears meanwhile is left out.  ``sysfs`` is a directory to read
    instead of /sys, without pyudev.
    """
    root = _SYSFS if sysfs is None else Path(sysfs)
    if not (root / _DEVICES).is_dir():
        return PciDeviceList()
    found = _enumerate_udev() if sysfs is None else None
    if found is None:
        found = ((path, {}) for path in (root / _DEVICES).iterdir())
    names = system_names()
    infos = (read_function(path, properties, names) for path, properties in found)
    there = (info for info in infos if info is not None)
    return PciDeviceList(sorted(there, key=lambda info: info.address))


def _enumerate_udev() -> Iterator[tuple[Path, Mapping[str, str]]] | None:
    """Give sysfs directories and udev's properties; None where libudev is not installed."""
    try:
        import pyudev  # late: costs 50 ms, and most programs open a device by its URI

        context = pyudev.Context()
    except ImportError:  # also raised when the shared library is missing
        return None
    devices = context.list_devices(subsystem="pci")
    return ((Path(device.sys_path), device.properties) for device in devices)


def read_function(
    path: Path, properties: Mapping[str, str], names: PciNames
) -> PciDeviceInfo | None:
    """Read a function's directory in sysfs; None if it is not there (any more).

    ``properties`` are udev's, whose names are preferred; it may have none.
    """
    try:
        ids = PciIds(
            vendor_id=_number(path / "vendor"),
            device_id=_number(path / "device"),
            class_code=_number(path / "class"),
            revision_id=_number(path / "revision"),
            subsystem_vendor_id=_number(path / "subsystem_vendor"),
            subsystem_id=_number(path / "subsystem_device"),
        )
        resources = _resources(path / "resource")
    except OSError:
        return None  # removed between enumeration and now
    vendor = properties.get("ID_VENDOR_FROM_DATABASE")
    model = properties.get("ID_MODEL_FROM_DATABASE")
    class_name = properties.get("ID_PCI_SUBCLASS_FROM_DATABASE")
    group = _link(path / "iommu_group")
    return PciDeviceInfo(
        address=PciAddress.parse(path.name),
        vendor_id=ids.vendor_id,
        device_id=ids.device_id,
        class_code=ids.class_code,
        revision_id=ids.revision_id,
        subsystem_vendor_id=ids.subsystem_vendor_id,
        subsystem_id=ids.subsystem_id,
        name=f"{vendor} {model}" if vendor and model else names.describe(ids),
        class_name=class_name or names.class_name(ids.class_code),
        driver=_link(path / "driver"),
        iommu_group=None if group is None else int(group),
        numa_node=_numa_node(path / "numa_node"),
        resources=resources,
    )


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"), 0)


def _link(path: Path) -> str | None:
    """Return the last part of what a symbolic link points to; None without a link."""
    try:
        return path.readlink().name
    except OSError:
        return None


def _numa_node(path: Path) -> int | None:
    try:
        node = _number(path)
    except OSError:
        return None  # kernels without NUMA have no such file
    return None if node == _NO_NODE else node


def _resources(path: Path) -> tuple[PciResource, ...]:
    """Read start, end and flags of the BARs and the expansion ROM; empty ones are left out."""
    resources = []
    for index, line in enumerate(path.read_text(encoding="ascii").splitlines()[: _ROM + 1]):
        start, end, flags = (int(word, 16) for word in line.split())
        if not flags & (_IORESOURCE_IO | _IORESOURCE_MEM):
            continue
        resources.append(
            PciResource(
                index=index,
                address=start,
                size=end - start + 1,
                is_io=bool(flags & _IORESOURCE_IO),
                is_64bit=bool(flags & _IORESOURCE_MEM_64),
                is_prefetchable=bool(flags & _IORESOURCE_PREFETCH),
            )
        )
    return tuple(resources)
