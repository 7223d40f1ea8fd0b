"""The way through an IOMMU group and a container (/dev/vfio/N and /dev/vfio/vfio).

Source: Linux 6.12, Documentation/driver-api/vfio.rst, "VFIO Usage Example".
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress

from pymmio.backend.vfio import refusals, uapi
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.iommu_type1 import Type1Dma, read_iommu_info
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.errors import DeviceBusy, Unsupported
from pymmio.handle import DmaHandle

__all__ = ["GroupConnection"]


class GroupConnection:
    """Connection of one device in a container of its own."""

    interface = "group"

    def __init__(
        self,
        kernel: Kernel,
        function: PciFunction,
        container: Descriptor,
        group: Descriptor,
        device: Descriptor,
        dma: Type1Dma,
    ) -> None:
        self._kernel = kernel
        self._function = function
        self._container = container
        self._group = group
        self._device = device
        self._dma = dma

    @classmethod
    def open(cls, kernel: Kernel, function: PciFunction) -> GroupConnection:
        """Open group and container, attach one to the other, and take the device out.

        A step that fails undoes those before it in reverse order.  Raises DeviceNotFound,
        DeviceBusy, PermissionRefused or Unsupported, each with the next step.
        """
        number = function.iommu_group
        if number is None:
            raise refusals.no_iommu_group(kernel, function)
        with ExitStack() as undo:
            group = _open_group(kernel, function, number)
            undo.callback(group.close)
            container = _open_container(kernel, function)
            undo.callback(container.close)
            _attach(kernel, function, number, group, container)
            undo.callback(_detach_quietly, kernel, group)
            _set_iommu(kernel, function, container)
            try:
                info = read_iommu_info(kernel, container.fd)
            except OSError as error:
                raise Unsupported(
                    f"the kernel does not say what the IOMMU of {function.address} offers: "
                    f"{refusals.reason(error)}",
                    hint="See the kernel's log",
                ) from error
            device = _take_device(kernel, function, group)
            undo.pop_all()
            return cls(
                kernel, function, container, group, device, Type1Dma(kernel, container, info)
            )

    @property
    def device(self) -> Descriptor:
        """The device's descriptor."""
        return self._device

    @property
    def dma(self) -> DmaHandle:
        """The container's address space."""
        return self._dma

    def close(self) -> None:
        """Close device, detach the group, close group and container; once.

        Each step is made whatever became of the one before; the last error is raised with
        the others as its context.  DeviceBusy, after everything of ours was closed, says that
        somebody still holds the device: a mapping of one of its regions is a holder too.
        """
        with ExitStack() as steps:  # runs from the last to the first, whatever fails
            steps.callback(self._container.close)
            steps.callback(self._group.close)
            if self._group.is_ours:
                steps.callback(self._detach)
            steps.callback(self._device.close)

    def after_fork(self) -> None:
        """Let the parent's descriptors go in a child, without any ioctl."""
        for descriptor in (self._device, self._group, self._container):
            descriptor.after_fork()

    def _detach(self) -> None:
        try:
            self._kernel.ioctl(self._group.fd, uapi.GROUP_UNSET_CONTAINER)
        except OSError as error:
            raise DeviceBusy(
                f"{self._function.address} was closed and is still held: {refusals.reason(error)}",
                hint="A mapping of one of its regions, or a copy of its descriptor in another "
                "process, is alive; until it goes the device cannot be opened or unbound",
            ) from error


def _open_group(kernel: Kernel, function: PciFunction, number: int) -> Descriptor:
    path = refusals.group_path(number)
    try:
        return Descriptor(kernel, kernel.open(path, os.O_RDWR), path)
    except OSError as error:
        raise refusals.cannot_open_group(kernel, function, number, error) from error


def _open_container(kernel: Kernel, function: PciFunction) -> Descriptor:
    path = refusals.CONTAINER_PATH
    try:
        container = Descriptor(kernel, kernel.open(path, os.O_RDWR), path)
    except OSError as error:
        raise refusals.cannot_open_container(kernel, function, error) from error
    with ExitStack() as undo:
        undo.callback(container.close)
        try:
            version = kernel.ioctl(container.fd, uapi.GET_API_VERSION)
            has_type1 = kernel.ioctl(container.fd, uapi.CHECK_EXTENSION, uapi.TYPE1V2_IOMMU)
        except OSError as error:
            raise refusals.cannot_open_container(kernel, function, error) from error
        if version != uapi.API_VERSION:
            raise refusals.wrong_api_version(version, uapi.API_VERSION)
        if not has_type1:
            raise refusals.missing_type1()
        undo.pop_all()
    return container


def _attach(
    kernel: Kernel, function: PciFunction, number: int, group: Descriptor, container: Descriptor
) -> None:
    status = bytearray(uapi.GROUP_STATUS.pack(uapi.GROUP_STATUS.size, 0))
    container_fd = bytearray(uapi.FD_ARGUMENT.pack(container.fd))
    try:
        kernel.ioctl(group.fd, uapi.GROUP_GET_STATUS, status)
    except OSError as error:
        raise refusals.cannot_attach_group(function, number, error) from error
    _, flags = uapi.GROUP_STATUS.unpack(status)
    if not flags & uapi.GroupFlags.VIABLE:
        raise refusals.not_viable(kernel, function, number)
    try:
        kernel.ioctl(group.fd, uapi.GROUP_SET_CONTAINER, container_fd)
    except OSError as error:
        raise refusals.cannot_attach_group(function, number, error) from error


def _detach_quietly(kernel: Kernel, group: Descriptor) -> None:
    """Undo the attachment on the way out of a failure, which is the error that counts.

    Closing the group, which comes next, detaches it as well.
    """
    with suppress(OSError):
        kernel.ioctl(group.fd, uapi.GROUP_UNSET_CONTAINER)


def _set_iommu(kernel: Kernel, function: PciFunction, container: Descriptor) -> None:
    try:
        kernel.ioctl(container.fd, uapi.SET_IOMMU, uapi.TYPE1V2_IOMMU)
    except OSError as error:
        raise refusals.cannot_set_iommu(kernel, function, error) from error


def _take_device(kernel: Kernel, function: PciFunction, group: Descriptor) -> Descriptor:
    name = bytearray(str(function.address).encode("ascii") + b"\0")
    try:
        fd = kernel.ioctl(group.fd, uapi.GROUP_GET_DEVICE_FD, name)
    except OSError as error:
        raise refusals.device_fd_refused(kernel, function, error) from error
    # The kernel opens it with O_CLOEXEC (vfio_device_open_file in drivers/vfio/group.c).
    return Descriptor(kernel, fd, str(function.address))
