"""Reset of a slot or bus: whom it would hit, and doing it when none of them minds.

Source: Linux 6.12, include/uapi/linux/vfio.h (VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
VFIO_DEVICE_PCI_HOT_RESET) and drivers/vfio/pci/vfio_pci_core.c.
"""

from __future__ import annotations

import enum
import errno
import os
import struct
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.connection import Connection
from pymmio.backend.vfio.group import GroupConnection
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.errors import DeviceBusy, DeviceGone, DeviceNotFound, ProtocolError, Unsupported
from pymmio.pci.address import PciAddress
from pymmio.pci.resets import ResetKind, ResetMethod

__all__ = ["Affected", "HotReset", "Owner"]

GET_PCI_HOT_RESET_INFO = uapi.request_number(12)
PCI_HOT_RESET = uapi.request_number(13)
_INFO = struct.Struct("=III")  # argsz, flags, count; then the devices
_DEVICE = struct.Struct("=IHBB")  # group or device id, segment, bus, devfn
_RESET = struct.Struct("=III")  # argsz, flags, count; then the descriptors of groups
_BY_DEVID = 1 << 0  # VFIO_PCI_HOT_RESET_FLAG_DEV_ID
_DEVID_OWNED = 0
_DEVID_NOT_OWNED = 0xFFFF_FFFF  # (__u32)-1
_ROOM = 64  # devices that the first question has room for
_MOST = 1 << 16  # a segment has no more functions


class Owner(enum.StrEnum):
    """Whose an affected function is."""

    SELF = "this device"
    NOBODY = "nobody's"
    OURS = "open in this process"
    SOMEBODY = "somebody else's"


@dataclass(frozen=True, slots=True)
class Affected:
    """A function that the reset would hit; ``says`` is why it is somebody else's."""

    address: PciAddress
    owner: Owner
    says: str = ""
    group: int | None = None  #: a group of nobody's that must be shown to the kernel

    def __str__(self) -> str:
        return f"{self.address} ({self.says or self.owner})"


class HotReset:
    """The reset of the slot or bus of one open device."""

    def __init__(self, kernel: Kernel, function: PciFunction, connection: Connection) -> None:
        self._kernel = kernel
        self._function = function
        self._connection = connection

    def affected(self) -> tuple[Affected, ...] | None:
        """Return all functions that it would hit, this one among them; None: there is no way.

        Raises OSError as the ioctl does, ProtocolError for an absurd answer.
        """
        try:
            flags, devices = self._ask()
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENOTTY, errno.EINVAL):
                return None
            raise
        return tuple(
            self._judge(PciAddress(segment, bus, devfn >> 3, devfn & 7), number, flags)
            for number, segment, bus, devfn in devices
        )

    def method(self) -> ResetMethod:
        """Return it as one of the ways to reset the device."""
        try:
            affected = self.affected()
        except (OSError, ProtocolError) as error:
            return ResetMethod(ResetKind.HOT, False, f"not known: {error}")
        if affected is None:
            return ResetMethod(ResetKind.HOT, False, "no slot or bus that can be reset")
        others = tuple(one for one in affected if one.owner is not Owner.SELF)
        names = tuple(str(one.address) for one in others)
        if not others:
            return ResetMethod(ResetKind.HOT, True, "its bus has no other function")
        foreign = [one for one in others if one.owner is Owner.SOMEBODY]
        says = ", ".join(map(str, foreign or others))
        return ResetMethod(ResetKind.HOT, not foreign, f"it would also reset {says}", names)

    def run(self, affecting: Collection[PciAddress] = ()) -> None:
        """Reset slot or bus, if every other function is nobody's, or ours and named.

        Raises Unsupported where there is no way, DeviceBusy naming who is in the way.
        """
        name = str(self._function.address)
        try:
            affected = self.affected()
        except OSError as error:
            raise self._failed(error) from error
        if affected is None:
            raise Unsupported(
                f"{name} has no slot or bus that can be reset",
                hint="It sits on the root bus: put it behind a root port",
            )
        named = set(affecting)
        in_the_way = [
            one
            for one in affected
            if one.owner is Owner.SOMEBODY or (one.owner is Owner.OURS and one.address not in named)
        ]
        if in_the_way:
            raise DeviceBusy(
                f"{name}: a reset of its bus would also reset {', '.join(map(str, in_the_way))}",
                hint="Bind the others to vfio-pci and leave them unused, or name those that "
                "this process has open: hot_reset(affecting=[...])",
            )
        self._run({one.group for one in affected if one.group is not None})

    def _ask(self) -> tuple[int, list[tuple[int, int, int, int]]]:
        room = _ROOM
        while True:
            size = _INFO.size + room * _DEVICE.size
            argument = bytearray(size)
            _INFO.pack_into(argument, 0, size, 0, 0)
            try:
                self._kernel.ioctl(self._connection.device.fd, GET_PCI_HOT_RESET_INFO, argument)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
            _, flags, count = _INFO.unpack_from(argument)
            if count > _MOST:
                raise ProtocolError(
                    f"{self._function.address}: VFIO says that a reset would hit {count} devices"
                )
            if count <= room:
                devices = _DEVICE.iter_unpack(argument[_INFO.size :][: count * _DEVICE.size])
                return flags, list(devices)
            room = count

    def _judge(self, address: PciAddress, number: int, flags: int) -> Affected:
        if address == self._function.address:
            return Affected(address, Owner.SELF)
        try:
            other = PciFunction.look_up(self._kernel, address)
        except DeviceNotFound:
            return Affected(address, Owner.SOMEBODY, "not to be seen here")
        if not other.is_bound_to_vfio:
            says = f"driver {other.driver}" if other.driver else "not bound to vfio-pci"
            return Affected(address, Owner.SOMEBODY, says)
        if flags & _BY_DEVID:
            return self._judge_by_device(address, number)
        return self._judge_by_group(address, number)

    def _judge_by_device(self, address: PciAddress, number: int) -> Affected:
        if number == _DEVID_NOT_OWNED:
            return Affected(address, Owner.SOMEBODY, "of another program, or another IOMMU group")
        return Affected(address, Owner.NOBODY if number == _DEVID_OWNED else Owner.OURS)

    def _judge_by_group(self, address: PciAddress, number: int) -> Affected:
        assert isinstance(self._connection, GroupConnection)
        container = self._connection.container
        attached = container.attached(number)
        if attached is None:
            path = container.kind.group_path(number)
            try:  # a group opens once: who cannot be opened is somebody's
                self._kernel.close(self._kernel.open(path, os.O_RDWR))
            except OSError as error:
                return Affected(address, Owner.SOMEBODY, f"{path}: {reason(error)}")
            return Affected(address, Owner.NOBODY, group=number)
        is_alone = number == self._function.iommu_group and attached.shared.users == 1
        return Affected(address, Owner.NOBODY if is_alone else Owner.OURS, group=number)

    def _run(self, others: set[int]) -> None:
        with ExitStack() as undo:
            descriptors: list[int] = []
            if isinstance(self._connection, GroupConnection):
                container = self._connection.container
                own = self._function.iommu_group
                for number in sorted({*others, *(() if own is None else (own,))}):
                    attached = container.attached(number)
                    if attached is not None:
                        descriptors.append(attached.descriptor.fd)
                        continue
                    try:
                        fd = self._kernel.open(container.kind.group_path(number), os.O_RDWR)
                    except OSError as error:
                        raise self._failed(error) from error
                    undo.callback(self._kernel.close, fd)
                    descriptors.append(fd)
            body = struct.pack(f"={len(descriptors)}i", *descriptors)
            head = _RESET.pack(_RESET.size + len(body), 0, len(descriptors))
            try:
                self._kernel.ioctl(
                    self._connection.device.fd, PCI_HOT_RESET, bytearray(head + body)
                )
            except OSError as error:
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> Unsupported | DeviceBusy | DeviceGone:
        what = f"{self._function.address}: reset of its slot or bus: {reason(error)}"
        if error.errno in (errno.EAGAIN, errno.EBUSY):
            return DeviceBusy(what, hint="Somebody works on the bus: try again")
        if error.errno == errno.ENXIO:
            return DeviceGone(what)
        return Unsupported(what, hint="See the kernel's log; every function there must be on VFIO")
