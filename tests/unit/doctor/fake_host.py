"""Machines below a temporary directory, in the shape that sysfs and procfs have."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from pymmio.doctor import Finding, Host, Report, State

NVME = "0000:01:00.0"
NIC = "0000:01:00.1"
BRIDGE = "0000:00:1c.0"
KERNEL = "6.12.57-test"
AT_HWCAP, AT_HWCAP2 = 16, 26  # getauxval(3)
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max locked memory         {soft:<20} {soft:<20} bytes
Max address space         unlimited            unlimited            bytes
"""


class FakeHost(Host):
    """``forbidden`` has the nodes that this user may not open."""

    def __init__(self, root: Path, *, machine: str = "x86_64", release: str = KERNEL) -> None:
        super().__init__(root=root, path="")
        self.root = root
        self._machine = machine
        self._release = release
        self.forbidden: set[str] = set()
        self.text("/proc/cmdline", "root=/dev/sda1 quiet\n")
        self.text(
            "/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu clflush\n"
        )
        self.process()
        self.memlock(4 << 30)
        self.text("/proc/interrupts", "           CPU0\n  0:  5  IO-APIC  2-edge  timer\n")

    def machine(self) -> str:
        return self._machine

    def release(self) -> str:
        return self._release

    def may_use(self, path: str) -> bool:
        return path not in self.forbidden

    def user_id(self) -> int:
        return 1000

    # --- building ------------------------------------------------------------------------

    def real(self, path: str) -> Path:
        return Path(self.place(path))

    def text(self, path: str, content: str) -> None:
        self.data(path, content.encode())

    def data(self, path: str, content: bytes) -> None:
        place = self.real(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def folder(self, path: str) -> None:
        self.real(path).mkdir(parents=True, exist_ok=True)

    def link(self, path: str, target: str) -> None:
        place = self.real(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def process(self, *, locked_kib: int = 0, capabilities: int = 0) -> None:
        text = f"Name:\tpython3\nVmLck:\t{locked_kib:8} kB\nCapEff:\t{capabilities:016x}\n"
        self.text("/proc/self/status", text)

    def memlock(self, limit: int | str) -> None:
        self.text("/proc/self/limits", LIMITS.format(soft=limit))

    def processor(self, **values: str) -> None:
        self.text("/proc/cpuinfo", "".join(f"{k}\t: {v}\n" for k, v in values.items()))

    def auxv(self, values: dict[int, int]) -> None:
        words = [word for pair in (*values.items(), (0, 0)) for word in pair]
        self.data("/proc/self/auxv", b"".join(w.to_bytes(8, sys.byteorder) for w in words))

    def config(self, *options: str) -> None:
        lines = [f"CONFIG_{name}=y" for name in options] + ["# CONFIG_OTHER is not set"]
        self.text(f"/boot/config-{self._release}", "\n".join(lines) + "\n")

    def function(
        self,
        address: str,
        *,
        driver: str | None = None,
        group: int | None = None,
        class_code: int = 0x010802,
        cdev: str | None = None,
    ) -> None:
        """Add a PCI function; ``cdev`` is its name in /dev/vfio/devices."""
        path = f"/sys/bus/pci/devices/{address}"
        for name, value in (
            ("vendor", "0x1b36"),
            ("device", "0x0010"),
            ("class", f"{class_code:#08x}"),
            ("revision", "0x02"),
            ("subsystem_vendor", "0x0000"),
            ("subsystem_device", "0x0000"),
        ):
            self.text(f"{path}/{name}", f"{value}\n")
        self.text(f"{path}/resource", "0x0 0x0 0x0\n" * 7)
        if driver is not None:
            self.link(f"{path}/driver", f"../../../bus/pci/drivers/{driver}")
            self.folder(f"/sys/bus/pci/drivers/{driver}")
        if group is not None:
            self.link(f"{path}/iommu_group", f"../../../kernel/iommu_groups/{group}")
            self.link(f"/sys/kernel/iommu_groups/{group}/devices/{address}", "../../../../x")
        if cdev is not None:
            self.text(f"{path}/vfio-dev/{cdev}/dev", "511:0\n")
            self.text(f"/dev/vfio/devices/{cdev}", "")


def plain(root: Path) -> FakeHost:
    """Make a PC without an IOMMU and without VFIO."""
    host = FakeHost(root)
    host.function(BRIDGE, driver="pcieport", class_code=0x060400)
    host.function(NVME, driver="nvme")
    return host


def ready(root: Path) -> FakeHost:
    """Make a PC with VT-d and vfio-pci; its NVMe controller is bound, by group and by cdev."""
    host = FakeHost(root)
    host.folder("/sys/class/iommu/dmar0")
    host.text("/proc/cmdline", "root=/dev/sda1 intel_iommu=on iommu=pt\n")
    host.text("/proc/interrupts", "  CPU0\n  0:  5  IR-IO-APIC  2-edge  timer\n")
    for module in ("vfio_pci", "vfio", "vfio_iommu_type1", "iommufd"):
        host.text(f"/sys/module/{module}/initstate", "live\n")
    host.text("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n")
    for module in ("vfio_iommu_type1", "iommufd"):
        host.text(f"/sys/module/{module}/parameters/allow_unsafe_interrupts", "N\n")
    for node in ("/dev/vfio/vfio", "/dev/vfio/7", "/dev/iommu"):
        host.text(node, "")
    host.function(BRIDGE, driver="pcieport", class_code=0x060400, group=6)
    host.function(NVME, driver="vfio-pci", group=7, cdev="vfio0")
    host.config("VFIO_GROUP", "VFIO_DEVICE_CDEV", "IO_STRICT_DEVMEM", "STRICT_DEVMEM", "DEVMEM")
    return host


def only(findings: Iterable[Finding], name: str) -> Finding:
    """Return the finding with this name."""
    found = [finding for finding in findings if finding.name == name]
    assert len(found) == 1, [finding.name for finding in findings]
    return found[0]


def states(report: Report) -> dict[str, State]:
    return {finding.name: finding.state for finding in report}
