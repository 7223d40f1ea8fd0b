"""The way through an IOMMU group and a container (/dev/vfio/N and /dev/vfio/vfio).

Source: Linux 6.12, Documentation/driver-api/vfio.rst, "VFIO Usage Example".
"""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext, suppress

from pymmio.backend.vfio import refusals, uapi
from pymmio.backend.vfio.container import AttachedGroup, Container, IommuKind
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.iommu_type1 import TYPE1
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.backend.vfio.vf_token import VfToken
from pymmio.errors import DeviceBusy
from pymmio.handle import DmaHandle

__all__ = ["GroupConnection"]


class GroupConnection:
    """Connection of one device in a container, its own or one that it shares."""

    def __init__(
        self,
        function: PciFunction,
        container: Container,
        group: AttachedGroup,
        device: Descriptor,
    ) -> None:
        """Take over one use of the container, one of the group, and the device."""
        self._function = function
        self._container = container
        self._group = group
        self._device = device
        self._is_closed = False

    @classmethod
    def open(
        cls,
        kernel: Kernel,
        function: PciFunction,
        *,
        kind: IommuKind = TYPE1,
        peer: GroupConnection | None = None,
        token: VfToken | None = None,
    ) -> GroupConnection:
        """Open group and container, attach one to the other, and take the device out.

        With ``peer`` its container is used, and its group if both devices are in the same.
        ``token`` goes to virtual functions, and to physical ones that have some.  A step that
        fails undoes those before it in reverse order; the peer is left as it was.  Raises
        DeviceNotFound, DeviceBusy, PermissionRefused or Unsupported, each with the next step.
        """
        number = function.iommu_group
        if number is None:
            raise refusals.no_iommu_group(kernel, function)
        with (
            nullcontext() if peer is None else peer.container.shared.lock,
            ExitStack() as undo,
        ):
            if peer is None:
                container, group = _start(kernel, function, number, kind, undo)
            else:
                container, group = _join(kernel, function, number, peer, undo)
            undo.callback(_leave_quietly, container, group, function)
            device = _take_device(kernel, function, group.descriptor, token)
            undo.pop_all()
            return cls(function, container, group, device)

    @property
    def interface(self) -> str:
        """``group``, or ``noiommu`` where there is no IOMMU."""
        return self._container.kind.interface

    @property
    def device(self) -> Descriptor:
        """The device's descriptor."""
        return self._device

    @property
    def dma(self) -> DmaHandle:
        """The container's address space."""
        return self._container.dma

    @property
    def container(self) -> Container:
        """The container, for devices that shall share it."""
        return self._container

    def close(self) -> None:
        """Close device; group and container, with their last device, after detaching; once.

        Each step is made whatever became of the one before; the last error is raised with
        the others as its context.  DeviceBusy, after everything of ours was closed, says that
        somebody still holds the device: a mapping of one of its regions is a holder too.
        """
        with self._container.shared.lock:
            if self._is_closed:
                return
            self._is_closed = True
            with ExitStack() as steps:  # runs from the last to the first, whatever fails
                steps.callback(self._container.leave)
                steps.callback(self._container.leave_group, self._group, self._function)
                steps.callback(self._device.close)

    def after_fork(self) -> None:
        """Let the parent's descriptors go in a child, without any ioctl."""
        self._device.after_fork()
        self._container.after_fork()


def _start(
    kernel: Kernel, function: PciFunction, number: int, kind: IommuKind, undo: ExitStack
) -> tuple[Container, AttachedGroup]:
    """Open a group and a new container for it."""
    descriptor = _open_group(kernel, function, number, kind)
    undo.callback(descriptor.close)
    container = Container.open(kernel, function, kind)
    undo.callback(container.leave)
    return container, container.attach(function, number, descriptor)


def _join(
    kernel: Kernel, function: PciFunction, number: int, peer: GroupConnection, undo: ExitStack
) -> tuple[Container, AttachedGroup]:
    """Use the peer's container, and put the group into it unless it is there."""
    container = peer.container
    container.shared.join()
    undo.callback(container.leave)
    group = container.attached(number)
    if group is not None:
        group.shared.join()
        return container, group
    descriptor = _open_group(kernel, function, number, container.kind)
    undo.callback(descriptor.close)
    return container, container.attach(function, number, descriptor)


def _leave_quietly(container: Container, group: AttachedGroup, function: PciFunction) -> None:
    """Detach on the way out of a failure, which is the error that counts."""
    with suppress(DeviceBusy):
        container.leave_group(group, function)


def _open_group(kernel: Kernel, function: PciFunction, number: int, kind: IommuKind) -> Descriptor:
    path = kind.group_path(number)
    try:
        return Descriptor(kernel, kernel.open(path, os.O_RDWR), path)
    except OSError as error:
        raise kind.cannot_open_group(kernel, function, number, error) from error


def _take_device(
    kernel: Kernel, function: PciFunction, group: Descriptor, token: VfToken | None
) -> Descriptor:
    said = str(function.address) if token is None else f"{function.address} {token.as_option()}"
    name = bytearray(said.encode("ascii") + b"\0")
    try:
        fd = kernel.ioctl(group.fd, uapi.GROUP_GET_DEVICE_FD, name)
    except OSError as error:
        raise refusals.device_fd_refused(kernel, function, token, error) from error
    # The kernel opens it with O_CLOEXEC (vfio_device_open_file in drivers/vfio/group.c).
    return Descriptor(kernel, fd, str(function.address))
