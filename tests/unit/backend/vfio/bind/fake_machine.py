"""A machine below a temporary directory whose sysfs does what the kernel does on a write.

The tree has the shape of a real one: devices in /sys/devices, links to them elsewhere.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

from pymmio.backend.vfio.bind.machine import Machine

NVME = "0000:01:00.0"
NIC = "0000:01:00.1"
BRIDGE = "0000:00:1c.0"
EDU = "0000:02:00.0"
BOOT_ID = "3f2c9a52-0d5e-4c6e-9b1c-7f8d2a61e001"


def oserror(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class FakeMachine(Machine):
    """``log`` has every change; ``fail`` and ``ignore`` say which writes go wrong."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            sysfs=root / "sys", proc=root / "proc", dev=root / "dev", state=root / "state"
        )
        self.root = root
        self.log: list[str] = []
        self.fail: dict[int, int | BaseException] = {}  # number of the change -> errno
        self.ignored: set[int] = set()  # numbers of changes without any effect
        self.drivers_that_refuse: set[str] = set()
        self.knows: dict[str, str] = {NVME: "nvme", NIC: "e1000e", BRIDGE: "pcieport"}
        self.busy_nodes: set[str] = set()
        self.loadable = {"vfio-pci": "vfio-pci"}  # module -> the driver in it
        self.writable = True
        self.node_numbers: dict[str, str] = {}
        for name in ("nvme", "e1000e", "pcieport", "vfio-pci"):
            self.add_driver(name)
        self.text("/proc/sys/kernel/random/boot_id", BOOT_ID)
        self.text("/proc/self/mountinfo", "21 1 0:5 / /proc rw - proc proc rw\n")
        self.text("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")
        self.link("/proc/self/ns/mnt", "mnt:[1]")
        self.link("/proc/self/root", "/")
        self.text("/dev/vfio/7", "")
        self.add_function(NVME, driver="nvme", group=7)
        self.add_function(EDU, driver=None, group=9, ids=(0x1234, 0x11E8), class_code=0xFF00)

    # --- building the tree -------------------------------------------------------------

    def real(self, path: str) -> Path:
        return Path(self.place(path))

    def text(self, path: str, content: str) -> None:
        self.real(path).parent.mkdir(parents=True, exist_ok=True)
        self.real(path).write_text(content)

    def link(self, path: str, target: str) -> None:
        place = self.real(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if target.startswith("/sys/"):
            target = os.path.relpath(self.real(target), place.parent)
        place.symlink_to(target)

    def add_driver(self, name: str) -> None:
        self.real(f"/sys/bus/pci/drivers/{name}").mkdir(parents=True)
        module = f"/sys/module/{name.replace('-', '_')}"
        self.real(module).mkdir(parents=True, exist_ok=True)
        self.link(f"/sys/bus/pci/drivers/{name}/module", module)

    def add_function(
        self,
        address: str,
        *,
        driver: str | None,
        group: int | None,
        ids: tuple[int, int] = (0x1B36, 0x0010),
        class_code: int = 0x010802,
        header: int = 0,
    ) -> str:
        """Return its directory in /sys/devices."""
        place = f"/sys/devices/pci0000:00/{address}"
        self.text(f"{place}/vendor", f"{ids[0]:#06x}\n")
        self.text(f"{place}/device", f"{ids[1]:#06x}\n")
        self.text(f"{place}/class", f"{class_code:#08x}\n")
        self.text(f"{place}/driver_override", "(null)\n")
        self.text(f"{place}/resource", "")
        config = bytearray(64)
        config[0x0E] = header
        self.real(f"{place}/config").write_bytes(config)
        self.link(f"/sys/bus/pci/devices/{address}", place)
        if driver is not None:
            self.link(f"{place}/driver", f"/sys/bus/pci/drivers/{driver}")
        if group is not None:
            members = f"/sys/kernel/iommu_groups/{group}"
            self.link(f"{members}/devices/{address}", place)
            self.link(f"{place}/iommu_group", members)
        return place

    def add_node(self, place: str, kind: str, number: str, *, device: str | None = None) -> str:
        """Add a device of the kernel with its node; block devices also in /sys/class/block."""
        name = place.rsplit("/", 1)[-1]
        device = device or name
        self.text(f"{place}/dev", number + "\n")
        self.text(f"{place}/uevent", f"MAJOR=1\nDEVNAME={device}\n")
        self.real(f"/sys/class/{kind}").mkdir(parents=True, exist_ok=True)
        self.link(f"{place}/subsystem", f"/sys/class/{kind}")
        self.link(f"/sys/class/{kind}/{name}", place)
        self.text(f"/dev/{device}", "")
        return place

    def add_disk(self, partitions: int = 2) -> str:
        """Put an NVMe disk below the NVMe function; return its directory."""
        controller = f"/sys/devices/pci0000:00/{NVME}/nvme/nvme0"
        self.add_node(controller, "nvme", "240:0")
        disk = self.add_node(f"{controller}/nvme0n1", "block", "259:0")
        for number in range(1, partitions + 1):
            part = self.add_node(f"{disk}/nvme0n1p{number}", "block", f"259:{number}")
            self.text(f"{part}/partition", f"{number}\n")
        return disk

    def add_holder(self, name: str, number: str, base: str, **texts: str) -> str:
        """Put a virtual block device on the block device ``base``."""
        place = self.add_node(f"/sys/devices/virtual/block/{name}", "block", number)
        for path, content in texts.items():
            self.text(f"{place}/{path.replace('__', '/')}", content + "\n")
        below = self.real_path(f"/sys/class/block/{base}")
        self.link(f"{below}/holders/{name}", place)
        return place

    def add_process(self, pid: int, name: str, *open_files: str, maps: str = "") -> None:
        self.text(f"/proc/{pid}/comm", name + "\n")
        self.text(f"/proc/{pid}/maps", maps)
        self.real(f"/proc/{pid}/fd").mkdir(parents=True)
        for number, path in enumerate(open_files):
            self.link(f"/proc/{pid}/fd/{number}", path) if not path.startswith(
                "/sys/"
            ) else self.real(f"/proc/{pid}/fd/{number}").symlink_to(path)

    def mount(self, number: str, point: str, source: str, fs_type: str = "ext4") -> None:
        with self.real("/proc/self/mountinfo").open("a") as file:
            file.write(f"40 21 {number} / {point} rw shared:1 - {fs_type} {source} rw\n")

    # --- what tests ask ----------------------------------------------------------------

    def driver(self, address: str) -> str | None:
        return self.link_name(f"/sys/bus/pci/devices/{address}/driver")

    def override(self, address: str) -> str:
        text = self.read_text(f"/sys/bus/pci/devices/{address}/driver_override")
        return "" if text == "(null)" else text

    def state(self, address: str = NVME) -> tuple[str | None, str]:
        return self.driver(address), self.override(address)

    # --- the kernel --------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        self.log.append(f"{text.strip()} > {path}")
        number = len(self.log)
        fault = self.fail.get(number)
        if isinstance(fault, BaseException):
            raise fault
        if fault is not None:
            raise oserror(fault)
        if number in self.ignored or not text:  # the kernel never sees an empty write
            return
        if path.endswith("/driver_override"):
            assert self.exists(path)
            self.text(self.real_path(path), text.strip() + "\n" if text.strip() else "(null)\n")
        elif path.endswith("/unbind"):
            self._unbind(path.split("/")[-2], text)
        elif path.endswith("/bind"):
            self._bind(path.split("/")[-2], text)
        else:
            assert path == "/sys/bus/pci/drivers_probe"
            self._probe(text)

    def load_module(self, name: str) -> None:
        self.log.append(f"modprobe {name}")
        if name not in self.loadable:
            raise OSError(f"modprobe {name}: FATAL: Module {name} not found")
        self.add_driver(self.loadable[name])

    def node_number(self, path: str) -> str | None:
        return self.node_numbers.get(path)

    def open(self, path: str, flags: int) -> int:
        if path in self.busy_nodes:
            raise oserror(errno.EBUSY)
        if path.startswith("/dev/"):
            flags &= ~os.O_EXCL
        return super().open(path, flags)

    def may_write(self, path: str) -> bool:
        return self.writable

    def _unbind(self, driver: str, address: str) -> None:
        if self.driver(address) != driver:
            raise oserror(errno.ENODEV)
        self.real(f"/sys/bus/pci/devices/{address}/driver").unlink()

    def _bind(self, driver: str, address: str) -> None:
        override = self.override(address)
        known = override == driver if override else self.knows.get(address) == driver
        if not self.exists(f"/sys/bus/pci/drivers/{driver}"):
            raise oserror(errno.ENOENT)
        if not known or self.driver(address) is not None:
            raise oserror(errno.ENODEV)
        if driver in self.drivers_that_refuse:
            raise oserror(errno.EINVAL)
        place = self.real_path(f"/sys/bus/pci/devices/{address}")
        self.link(f"{place}/driver", f"/sys/bus/pci/drivers/{driver}")

    def _probe(self, address: str) -> None:
        wanted = self.override(address) or self.knows.get(address)
        if wanted is None or self.driver(address) is not None:
            return
        try:
            self._bind(wanted, address)
        except OSError:
            return  # as the kernel: a probe that fails is no error of the write


def killed_at(machine: FakeMachine, number: int, action: Callable[[], object]) -> None:
    """Run ``action`` in a process that SIGKILL ends at its change ``number``."""
    pid = os.fork()
    if pid == 0:
        write, changes = machine.write, iter(range(1, 100))

        def write_or_die(path: str, text: str) -> None:
            if next(changes) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            write(path, text)

        machine.write = write_or_die  # type: ignore[method-assign]
        try:
            action()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
