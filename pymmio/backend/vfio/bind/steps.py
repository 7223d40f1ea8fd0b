"""The single changes that binding is made of: each can be shown, and carried out."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from pymmio.backend.vfio.bind.machine import Machine
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.sysfs import directory
from pymmio.errors import DeviceNotFound, PermissionRefused, PymmioError, Unsupported
from pymmio.pci.address import PciAddress

__all__ = [
    "LoadModule",
    "Step",
    "Write",
    "bind_to",
    "override_of",
    "probe",
    "set_override",
    "unbind_from_driver",
]

_PCI = "/sys/bus/pci"


@dataclass(frozen=True, slots=True)
class Write:
    """A write of ``value`` to the file ``path`` of sysfs, for the device ``address``."""

    address: PciAddress
    path: str
    value: str
    why: str

    def perform(self, machine: Machine) -> None:
        """Make the write.  Raises PymmioError saying what the kernel said."""
        try:
            machine.write(self.path, self.value or "\n")  # an empty write changes nothing
        except OSError as error:
            raise self._refused(machine, error) from error

    def as_dict(self) -> dict[str, str]:
        """Return the values by name, ready for JSON."""
        return {"path": self.path, "value": self.value, "why": self.why, "command": str(self)}

    def __str__(self) -> str:
        return f"echo {self.value} > {self.path}" if self.value else f"echo > {self.path}"

    def _refused(self, machine: Machine, error: OSError) -> PymmioError:
        said = f"{self.address}: `{self}` failed: {reason(error)}"
        if error.errno in (errno.EACCES, errno.EPERM):
            return PermissionRefused(said, hint="Changing drivers takes root: sudo pymmio ...")
        if error.errno == errno.EROFS:
            return PermissionRefused(
                said, hint="sysfs is read-only here, as in containers: bind on the machine itself"
            )
        if not machine.exists(directory(self.address)):
            return DeviceNotFound(
                f"{said}; the device is gone", hint="It was removed meanwhile; see `pymmio list`"
            )
        return Unsupported(said, hint="The kernel's log (dmesg) may say why")


@dataclass(frozen=True, slots=True)
class LoadModule:
    """Loading of a module of the kernel; it stays loaded."""

    name: str
    why: str

    def perform(self, machine: Machine) -> None:
        """Run modprobe.  Raises Unsupported with what it said."""
        try:
            machine.load_module(self.name)
        except OSError as error:
            raise Unsupported(
                f"the kernel module {self.name} cannot be loaded: {error}",
                hint="Is it part of this kernel (CONFIG_VFIO_PCI), and installed for the one "
                "that runs (uname -r)? Debian's cloud kernels lack it"
                if self.name == "vfio-pci"
                else f"As root: modprobe {self.name}",
            ) from error

    def as_dict(self) -> dict[str, str]:
        """Return the values by name, ready for JSON."""
        return {"module": self.name, "why": self.why, "command": str(self)}

    def __str__(self) -> str:
        return f"modprobe {self.name}"


Step = Write | LoadModule


def set_override(address: PciAddress, driver: str) -> Write:
    """Only the driver of this name may have the device; "" lets all have it again."""
    why = f"only {driver} may take it" if driver else "every driver that knows it may take it"
    return Write(address, f"{directory(address)}/driver_override", driver, why)


def unbind_from_driver(address: PciAddress, driver: str) -> Write:
    """Take the device from its driver."""
    path = f"{_PCI}/drivers/{driver}/unbind"
    return Write(address, path, str(address), f"{driver} lets it go")


def probe(address: PciAddress) -> Write:
    """Let the kernel look for a driver.  It reports no error when none takes the device."""
    return Write(address, f"{_PCI}/drivers_probe", str(address), "the kernel finds its driver")


def bind_to(address: PciAddress, driver: str) -> Write:
    """Give the device to one driver."""
    path = f"{_PCI}/drivers/{driver}/bind"
    return Write(address, path, str(address), f"{driver} takes it")


def override_of(machine: Machine, address: PciAddress) -> str:
    """Return the driver_override of a device, "" without one."""
    text = machine.text_or_none(f"{directory(address)}/driver_override") or ""
    return "" if text == "(null)" else text
