"""Helpers for cases: find PCI functions of the guest and hand them to vfio-pci and back."""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NoReturn

from tests.guest.initramfs import SHARE as SHARE  # files left there are on the host afterwards

PCI = Path("/sys/bus/pci")
EDU = (0x1234, 0x11E8)
NVME = (0x1B36, 0x0010)
PCI_TESTDEV = (0x1B36, 0x0005)

RB_AUTOBOOT = 0x01234567  # Linux include/uapi/linux/reboot.h, LINUX_REBOOT_CMD_RESTART


@dataclass(frozen=True)
class Function:
    """A PCI function by its address, such as ``0000:00:03.0``."""

    address: str

    @property
    def path(self) -> Path:
        """Return its folder in sysfs."""
        return PCI / "devices" / self.address

    @property
    def driver(self) -> str | None:
        """Return the kernel driver that is bound now."""
        link = self.path / "driver"
        return link.resolve().name if link.exists() else None

    @property
    def iommu_group(self) -> int | None:
        """Return the number of its IOMMU group, None where no IOMMU stands before it."""
        link = self.path / "iommu_group"
        return int(link.resolve().name) if link.exists() else None

    def group_members(self) -> list[str]:
        """Return the addresses of all functions in its IOMMU group, its own included."""
        return sorted(os.listdir(self.path / "iommu_group" / "devices"))


def find_functions(ids: tuple[int, int]) -> list[Function]:
    """Return the functions with this (vendor, device), in order of address."""
    return [
        Function(path.name)
        for path in sorted((PCI / "devices").iterdir())
        if (_number(path / "vendor"), _number(path / "device")) == ids
    ]


def find_function(ids: tuple[int, int]) -> Function:
    """Return the only function with this (vendor, device)."""
    found = find_functions(ids)
    assert len(found) == 1, f"{ids[0]:04x}:{ids[1]:04x} is there {len(found)} times, wanted once"
    return found[0]


def bind_vfio(function: Function) -> Path:
    """Bind ``function`` to vfio-pci and return its group's node in /dev/vfio."""
    _rebind(function, "vfio-pci")
    # A probe that fails leaves no error in the write to drivers_probe: look at what is bound.
    assert function.driver == "vfio-pci", f"{function} is bound to {function.driver}"
    node = Path(f"/dev/vfio/{function.iommu_group}")
    wait_until(node.exists, 5.0, f"{node} to appear")
    return node


def give_back(function: Function) -> str | None:
    """Let the kernel choose the driver again and return its name, None if nobody wants it.

    Unmap everything first: unbinding while this process maps the device hangs for ever.
    """
    _rebind(function, "")
    return function.driver


@contextmanager
def bound_to_vfio(ids: tuple[int, int]) -> Iterator[Function]:
    """Bind the only function with these ids for the block, then give it back."""
    function = find_function(ids)
    try:
        bind_vfio(function)
        yield function
    finally:
        give_back(function)


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Wait for ``condition``, looking every 10 ms; raises TimeoutError naming ``what``."""
    deadline = monotonic() + timeout_s
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        select.select([], [], [], 0.01)


def _rebind(function: Function, override: str) -> None:
    # An empty line clears the override (Linux Documentation/ABI/testing/sysfs-bus-pci).
    (function.path / "driver_override").write_text(override + "\n")
    if function.driver:
        (function.path / "driver" / "unbind").write_text(function.address)
    (PCI / "drivers_probe").write_text(function.address)


def _number(path: Path) -> int:
    return int(path.read_text(), 0)


def has_rebooted(name: str) -> bool:
    """Whether ``reboot(name)`` was called: the case that does so begins once more after it."""
    return (SHARE / f"rebooted-{name}").exists()


def reboot(name: str) -> NoReturn:
    """Write everything to the disks and restart the machine (a guest with ``may_reboot``)."""
    (SHARE / f"rebooted-{name}").touch()
    os.sync()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.reboot(RB_AUTOBOOT)
    raise OSError(ctypes.get_errno(), "reboot")
