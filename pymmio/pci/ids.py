"""Names of vendors, devices and classes.

Where udev's database runs, discovery takes the names that pyudev hands out from there
(``ID_VENDOR_FROM_DATABASE``); that needs systemd's hwdb, which containers, minimal systems
and guests lack.  For those, and for devices that udev never saw (a model, a message
backend), the system's pci.ids file is read here.  A library for that was looked for:
python-hwdata is under the GPL-2.0-or-later, which a project under the MIT licence does not
want to depend on, reads one fixed path and no .gz; pyudev keeps its binding to libudev's
hwdb private; pciutils' libpci has no maintained binding.  The format, described at the head
of the file itself, is three levels of tabs, so the reader is short.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymmio.pci.match import HasPciIds

__all__ = ["PCI_IDS_PATHS", "PciNames", "system_names"]

PCI_IDS_PATHS = tuple(
    Path(directory, name)
    for directory in (
        "/usr/share/misc",
        "/usr/share/hwdata",
        "/usr/share",
        "/usr/local/share",
        "/var/lib/pciutils",
    )
    for name in ("pci.ids", "pci.ids.gz")
)
"""Where systems keep the file; the first that can be read counts."""

# Used where no pci.ids says more: PCI Code and ID Assignment 1.11 §1.
_CLASSES = {
    (0x00,): "unclassified device",
    (0x01,): "mass storage controller",
    (0x01, 0x06): "SATA controller",
    (0x01, 0x08): "non-volatile memory controller",
    (0x02,): "network controller",
    (0x02, 0x00): "Ethernet controller",
    (0x03,): "display controller",
    (0x04,): "multimedia controller",
    (0x05,): "memory controller",
    (0x06,): "bridge",
    (0x06, 0x00): "host bridge",
    (0x06, 0x01): "ISA bridge",
    (0x06, 0x04): "PCI bridge",
    (0x07,): "communication controller",
    (0x08,): "system peripheral",
    (0x09,): "input device",
    (0x0A,): "docking station",
    (0x0B,): "processor",
    (0x0C,): "serial bus controller",
    (0x0C, 0x03): "USB controller",
    (0x0C, 0x05): "SMBus",
    (0x0D,): "wireless controller",
    (0x0E,): "intelligent controller",
    (0x0F,): "satellite controller",
    (0x10,): "encryption controller",
    (0x11,): "signal processing controller",
    (0x12,): "processing accelerator",
    (0x13,): "non-essential instrumentation",
    (0xFF,): "unassigned class",
}

Key = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PciNames:
    """Names by number.

    ``ids`` has keys of one (vendor), two (device) and four numbers (subsystem);
    ``classes`` of one to three (base class, subclass, programming interface).
    """

    ids: dict[Key, str] = field(default_factory=dict, repr=False)
    classes: dict[Key, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, lines: Iterable[str]) -> PciNames:
        """Read the lines of a pci.ids file; lines that make no sense are left out."""
        ids: dict[Key, str] = {}
        classes: dict[Key, str] = {}
        target: dict[Key, str] | None = None
        parents: list[Key] = [(), ()]
        for line in lines:
            text = line.rstrip()
            level = len(text) - len(text.lstrip("\t"))
            if not text or text.startswith("#") or level > 2:
                continue
            head, separator, name = text[level:].partition("  ")
            if level == 0:
                target = None  # until the line proves to be a vendor or a class
                in_classes = head.startswith("C ")
                head = head.removeprefix("C ")
            try:
                numbers = tuple(int(part, 16) for part in head.split(" "))
            except ValueError:
                continue
            if not separator or len(numbers) > 2:
                continue
            if level == 0:
                target = classes if in_classes else ids
            if target is None:
                continue
            key = numbers if level == 0 else parents[level - 1] + numbers
            if level < 2:
                parents[level] = key
            target.setdefault(key, name.strip())
        return cls(ids, classes)

    @classmethod
    def load(cls, paths: Sequence[Path] = PCI_IDS_PATHS) -> PciNames:
        """Read the first of these files that can be read, plain or gzip; no names if none can."""
        for path in paths:
            try:
                data = path.read_bytes()
                if path.suffix == ".gz":
                    data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error):
                continue  # names are an extra: no file, or a damaged one, is no failure
            names = cls.parse(data.decode("utf-8", errors="replace").split("\n"))
            if names.ids:
                return names
        return cls()

    def vendor(self, vendor_id: int) -> str | None:
        return self.ids.get((vendor_id,))

    def device(self, vendor_id: int, device_id: int) -> str | None:
        return self.ids.get((vendor_id, device_id))

    def subsystem(
        self, vendor_id: int, device_id: int, subsystem_vendor_id: int, subsystem_id: int
    ) -> str | None:
        return self.ids.get((vendor_id, device_id, subsystem_vendor_id, subsystem_id))

    def class_name(self, class_code: int) -> str:
        """Return the name of a 24-bit class code by base class and subclass, never empty."""
        key = (class_code >> 16, class_code >> 8 & 0xFF)
        for table in (self.classes, _CLASSES):
            name = table.get(key) or table.get(key[:1])
            if name:
                return name
        return f"class {class_code:06x}"

    def describe(self, ids: HasPciIds) -> str:
        """Return vendor and device by name, or by class and number what has no name."""
        vendor = self.vendor(ids.vendor_id)
        device = self.device(ids.vendor_id, ids.device_id)
        if vendor and device:
            return f"{vendor} {device}"
        what = f"{vendor} {self.class_name(ids.class_code)}" if vendor else None
        return f"{what or self.class_name(ids.class_code)} {ids.vendor_id:04x}:{ids.device_id:04x}"


@functools.cache
def system_names() -> PciNames:
    """Return the names that this system knows; the file is read at the first call."""
    return PciNames.load()
