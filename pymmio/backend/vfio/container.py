"""A VFIO container: the groups attached to it, and the address space that they share.

Source: Linux 6.12, Documentation/driver-api/vfio.rst, "Groups, Devices, and IOMMUs".
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

from pymmio.backend.vfio import refusals, uapi
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.sharing import Shared
from pymmio.backend.vfio.sysfs import PciFunction
from pymmio.errors import PymmioError, Unsupported
from pymmio.handle import DmaHandle

__all__ = ["AttachedGroup", "Container", "IommuKind"]


class RefreshableDma(DmaHandle, Protocol):
    """A DmaHandle whose limits may change when a group comes in."""

    def refresh(self) -> None: ...


class IommuKind(Protocol):
    """What differs between an IOMMU of type 1 and none at all."""

    @property
    def interface(self) -> str:
        """The way's name in URIs."""
        ...

    @property
    def extension(self) -> int:
        """The number that VFIO knows it by."""
        ...

    def group_path(self, number: int) -> str:
        """Return the node of a group."""
        ...

    def missing(self) -> PymmioError:
        """Return what to raise where the kernel does not have this extension."""
        ...

    def cannot_open_group(
        self, kernel: Kernel, function: PciFunction, number: int, error: OSError
    ) -> PymmioError:
        """Return what to raise where the group's node cannot be opened."""
        ...

    def make_dma(self, kernel: Kernel, container: Descriptor) -> RefreshableDma:
        """Return the address space of a container.  Raises OSError as the kernel does."""
        ...


@dataclass(frozen=True, slots=True)
class AttachedGroup:
    """A group in a container: one descriptor, however many of its devices are open."""

    number: int
    descriptor: Descriptor
    shared: Shared


class Container:
    """A container with its groups; closed with the last device in it."""

    def __init__(self, kernel: Kernel, descriptor: Descriptor, kind: IommuKind) -> None:
        self._kernel = kernel
        self._descriptor = descriptor
        self._groups: dict[int, AttachedGroup] = {}
        self._dma: RefreshableDma | None = None
        self.kind = kind
        self.shared = Shared("the container")

    @classmethod
    def open(cls, kernel: Kernel, function: PciFunction, kind: IommuKind) -> Container:
        """Open a container and look whether it speaks ``kind``.  The caller is its first user."""
        path = refusals.CONTAINER_PATH
        try:
            descriptor = Descriptor(kernel, kernel.open(path, os.O_RDWR), path)
        except OSError as error:
            raise refusals.cannot_open_container(kernel, function, error) from error
        with ExitStack() as undo:
            undo.callback(descriptor.close)
            try:
                version = kernel.ioctl(descriptor.fd, uapi.GET_API_VERSION)
                has_kind = kernel.ioctl(descriptor.fd, uapi.CHECK_EXTENSION, kind.extension)
            except OSError as error:
                raise refusals.cannot_open_container(kernel, function, error) from error
            if version != uapi.API_VERSION:
                raise refusals.wrong_api_version(version, uapi.API_VERSION)
            if not has_kind:
                raise kind.missing()
            undo.pop_all()
        return cls(kernel, descriptor, kind)

    @property
    def dma(self) -> DmaHandle:
        """The address space; there is one once a group was attached."""
        assert self._dma is not None
        return self._dma

    def attached(self, number: int) -> AttachedGroup | None:
        """Return the group if it is in this container already."""
        return self._groups.get(number)

    def attach(self, function: PciFunction, number: int, group: Descriptor) -> AttachedGroup:
        """Put a group into the container; the caller is the group's first user.

        The first group decides about the IOMMU, later ones must fit it.  Afterwards the
        container owns the descriptor; where this raises it stays the caller's.
        """
        kernel = self._kernel
        status = bytearray(uapi.GROUP_STATUS.pack(uapi.GROUP_STATUS.size, 0))
        container_fd = bytearray(uapi.FD_ARGUMENT.pack(self._descriptor.fd))
        try:
            kernel.ioctl(group.fd, uapi.GROUP_GET_STATUS, status)
        except OSError as error:
            raise refusals.cannot_attach_group(function, number, error) from error
        _, flags = uapi.GROUP_STATUS.unpack(status)
        if not flags & uapi.GroupFlags.VIABLE:
            raise refusals.not_viable(kernel, function, number)
        is_further = self._dma is not None
        try:
            kernel.ioctl(group.fd, uapi.GROUP_SET_CONTAINER, container_fd)
        except OSError as error:
            refused = refusals.cannot_join_container if is_further else refusals.cannot_attach_group
            raise refused(function, number, error) from error
        with ExitStack() as undo:
            undo.callback(self._detach_quietly, group)
            self._prepare_dma(function)
            undo.pop_all()
        attached = AttachedGroup(number, group, Shared(f"IOMMU group {number}"))
        self._groups[number] = attached
        return attached

    def leave_group(self, group: AttachedGroup, function: PciFunction) -> None:
        """Let ``function`` go; with the group's last one detach the group and close it.

        Raises DeviceBusy, with the group closed, where somebody still holds a device of it.
        """
        if not group.shared.leave():
            return
        self._groups.pop(group.number, None)
        with ExitStack() as steps:
            steps.callback(group.descriptor.close)
            if not group.descriptor.is_ours:
                return
            try:
                self._kernel.ioctl(group.descriptor.fd, uapi.GROUP_UNSET_CONTAINER)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return  # who removes or unbinds the device went on and detached the group
                raise refusals.still_held(function, error) from error

    def leave(self) -> None:
        """Let one device go; with the last one close the container."""
        if self.shared.leave():
            self._descriptor.close()

    def after_fork(self) -> None:
        """Let the parent's descriptors go in a child, without any ioctl."""
        for group in self._groups.values():
            group.descriptor.after_fork()
            group.shared.after_fork()
        self._descriptor.after_fork()
        self.shared.after_fork()

    def _prepare_dma(self, function: PciFunction) -> None:
        if self._dma is None:
            try:
                self._kernel.ioctl(self._descriptor.fd, uapi.SET_IOMMU, self.kind.extension)
            except OSError as error:
                raise refusals.cannot_set_iommu(self._kernel, function, error) from error
        try:
            if self._dma is None:
                self._dma = self.kind.make_dma(self._kernel, self._descriptor)
            else:
                self._dma.refresh()
        except PymmioError:  # some of which are OSErrors as well
            raise
        except OSError as error:
            raise Unsupported(
                f"the kernel does not say what the IOMMU of {function.address} offers: "
                f"{refusals.reason(error)}",
                hint="See the kernel's log",
            ) from error

    def _detach_quietly(self, group: Descriptor) -> None:
        """Undo the attachment on the way out of a failure, which is the error that counts.

        Closing the group, which comes next, detaches it as well.
        """
        with suppress(OSError):
            self._kernel.ioctl(group.fd, uapi.GROUP_UNSET_CONTAINER)
