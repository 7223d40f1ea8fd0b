"""Open ``vfio:ADDRESS``: look before anything is touched, then take one of the ways."""

from __future__ import annotations

import enum
from contextlib import ExitStack

from pymmio.backend.vfio import refusals
from pymmio.backend.vfio.connection import Connection
from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.group import GroupConnection
from pymmio.backend.vfio.kernel import Kernel, LinuxKernel
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.errors import Unsupported, UriError
from pymmio.pci.address import PciAddress
from pymmio.uri import DeviceUri

__all__ = ["Interface", "open", "open_function"]

_OPTIONS = ("interface",)


class Interface(enum.StrEnum):
    """The ways to a device that VFIO has."""

    AUTO = "auto"  #: the best one that this version and the machine have
    GROUP = "group"  #: /dev/vfio/N with a type1 container
    CDEV = "cdev"  #: /dev/vfio/devices/vfioN with /dev/iommu


def open(uri: DeviceUri) -> VfioDevice:
    """Open the device that ``vfio:0000:01:00.0?interface=auto`` names.

    Memory decoding and bus mastering stay as they are.  Raises UriError, DeviceNotFound,
    DeviceBusy, PermissionRefused and Unsupported; whatever was opened is closed again.
    """
    unknown = [name for name in uri.options if name not in _OPTIONS]
    if unknown:
        raise UriError(
            f"vfio: has no option {', '.join(map(repr, unknown))}",
            hint=f"It has: {', '.join(_OPTIONS)}",
        )
    wanted = uri.options.get("interface", Interface.AUTO)
    try:
        interface = Interface(wanted)
    except ValueError as error:
        raise UriError(
            f"vfio: has no interface {wanted!r}", hint=f"It has: {', '.join(Interface)}"
        ) from error
    return open_function(LinuxKernel(), PciAddress.parse(uri.target), interface)


def open_function(
    kernel: Kernel, address: PciAddress, interface: Interface = Interface.AUTO
) -> VfioDevice:
    """Open a PCI function through ``kernel``; raises as :func:`open` does."""
    function = PciFunction.look_up(kernel, address)
    if not function.is_bound_to_vfio and function.iommu_group is None:
        raise refusals.no_iommu_group(kernel, function)  # the first thing to mend
    if not function.is_bound_to_vfio:
        raise refusals.not_bound_to_vfio(kernel, function)
    with ExitStack() as undo:
        connection = _connect(kernel, function, interface)
        undo.callback(connection.close)
        device = VfioDevice(kernel, function, connection)
        undo.pop_all()
    return device


def _connect(kernel: Kernel, function: PciFunction, interface: Interface) -> Connection:
    if interface is Interface.CDEV:
        raise Unsupported(
            "interface=cdev (iommufd) comes with a later version of pymmio",
            hint="Use interface=group",
        )
    return GroupConnection.open(kernel, function)
