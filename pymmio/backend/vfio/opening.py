"""Open ``vfio:ADDRESS``: look before anything is touched, then take one of the ways."""

from __future__ import annotations

import enum
from contextlib import ExitStack

from pymmio.backend.vfio import cdev, noiommu, refusals
from pymmio.backend.vfio.cdev import CdevConnection
from pymmio.backend.vfio.connection import Connection
from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.group import GroupConnection
from pymmio.backend.vfio.kernel import Kernel, LinuxKernel
from pymmio.backend.vfio.sysfs import PciFunction, directory, is_noiommu_group
from pymmio.backend.vfio.vf_token import VfToken
from pymmio.errors import (
    Closed,
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
    UriError,
)
from pymmio.handle import DeviceHandle
from pymmio.pci.address import PciAddress
from pymmio.uri import DeviceUri

__all__ = ["Interface", "open", "open_function"]

_OPTIONS = ("interface", "vf_token")


class Interface(enum.StrEnum):
    """The ways to a device that VFIO has."""

    AUTO = "auto"  #: cdev where the machine offers it, else group
    GROUP = "group"  #: /dev/vfio/N with a type1 container
    CDEV = "cdev"  #: /dev/vfio/devices/vfioN with /dev/iommu
    NOIOMMU = "noiommu"  #: /dev/vfio/noiommu-N: no protection; only when asked for by this name


def open(uri: DeviceUri, *, share_dma_with: DeviceHandle | None = None) -> VfioDevice:
    """Open the device that ``vfio:0000:01:00.0?interface=auto&vf_token=UUID`` names.

    With ``share_dma_with``, a VfioDevice, both are in one address space.  Memory decoding and
    bus mastering stay as they are.  Raises UriError, DeviceNotFound, DeviceBusy,
    PermissionRefused and Unsupported; whatever was opened is closed again.
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
    token = VfToken.parse(uri.options["vf_token"]) if "vf_token" in uri.options else None
    address = PciAddress.parse(uri.target)
    if share_dma_with is not None and not isinstance(share_dma_with, VfioDevice):
        raise Unsupported(
            f"{address} and {share_dma_with.name} cannot share memory: only one is VFIO's",
            hint="Devices of one backend can share an address space",
        )
    return open_function(LinuxKernel(), address, interface, token=token, peer=share_dma_with)


def open_function(
    kernel: Kernel,
    address: PciAddress,
    interface: Interface = Interface.AUTO,
    *,
    token: VfToken | None = None,
    peer: VfioDevice | None = None,
) -> VfioDevice:
    """Open a PCI function through ``kernel``; raises as :func:`open` does."""
    function = PciFunction.look_up(kernel, address)
    if interface is Interface.NOIOMMU:
        noiommu.check(kernel, function)
    if not function.is_bound_to_vfio and function.iommu_group is None:
        raise refusals.no_iommu_group(kernel, function)  # the first thing to mend
    if not function.is_bound_to_vfio:
        raise refusals.not_bound_to_vfio(kernel, function)
    with ExitStack() as undo:
        passed_over: PymmioError | None = None
        try:
            if peer is not None:
                connection = _join(kernel, function, interface, token, peer)
            elif interface is Interface.AUTO:
                connection, passed_over = _choose(kernel, function, token)
            else:
                connection = _connect(kernel, function, interface, token)
            undo.callback(connection.close)
            device = VfioDevice(kernel, function, connection, passed_over)
        except PymmioError as error:
            if kernel.exists(directory(address)) or isinstance(error, Closed):
                raise
            raise DeviceNotFound(
                f"PCI device {address} vanished while it was opened ({error.message})",
                hint="It was removed; see `pymmio list`",
            ) from error
        undo.pop_all()
    return device


def _connect(
    kernel: Kernel, function: PciFunction, interface: Interface, token: VfToken | None
) -> Connection:
    if interface is Interface.CDEV:
        return CdevConnection.open(kernel, function, token=token)
    if interface is Interface.NOIOMMU:
        noiommu.warn(function)
        return GroupConnection.open(kernel, function, kind=noiommu.NOIOMMU, token=token)
    return GroupConnection.open(kernel, function, token=token)


def _choose(
    kernel: Kernel, function: PciFunction, token: VfToken | None
) -> tuple[Connection, PymmioError | None]:
    """Try the cdev, then the group; return what was opened and why the cdev was passed over.

    Where neither works the message tells of both, the one that is nearer to working first.
    """
    not_offered = cdev.why_not(kernel, function)
    first = not_offered
    if first is None:
        try:
            return CdevConnection.open(kernel, function, token=token), None
        except (PermissionRefused, DeviceNotFound, Unsupported) as error:
            first = error  # DeviceBusy is no better by the group
    try:
        return GroupConnection.open(kernel, function, token=token), first
    except (DeviceBusy, PermissionRefused, DeviceNotFound, Unsupported) as error:
        if not_offered is not None and not isinstance(error, DeviceNotFound):
            raise  # this machine knows groups only
        nearer: PymmioError = first
        other: PymmioError = error
        way = Interface.GROUP
        if not_offered is not None or isinstance(error, DeviceBusy):
            nearer, other, way = error, first, Interface.CDEV
        raise type(nearer)(
            f"{nearer.message} (and by interface={way}: {other.message})", hint=nearer.hint
        ) from error


def _join(
    kernel: Kernel,
    function: PciFunction,
    interface: Interface,
    token: VfToken | None,
    peer: VfioDevice,
) -> Connection:
    """Open the device by the peer's interface, in its address space."""
    if interface not in (Interface.AUTO, peer.interface):
        raise Unsupported(
            f"{function.address} by {interface} cannot share memory with {peer.name}, which is "
            f"open by {peer.interface}",
            hint=f"Open both by one: interface={interface} for {peer.name} too, or leave it out",
        )
    if str(function.address) == peer.name:
        raise DeviceBusy(
            f"{peer.name} is open in this program already",
            hint="Use the device that is open; it has one user at a time",
        )
    connection = peer.connection
    if isinstance(connection, CdevConnection):
        return CdevConnection.open(kernel, function, peer=connection, token=token)
    assert isinstance(connection, GroupConnection)
    if connection.interface == Interface.NOIOMMU:
        noiommu.check(kernel, function)
        noiommu.warn(function)
    elif function.iommu_group is not None and is_noiommu_group(kernel, function.iommu_group):
        raise Unsupported(
            f"{function.address} has no IOMMU and cannot share memory with {peer.name}, which has",
            hint="Without an IOMMU a device reaches other addresses: give it its own memory",
        )
    return GroupConnection.open(kernel, function, peer=connection, token=token)
