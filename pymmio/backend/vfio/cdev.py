"""The way through the device's own node (/dev/vfio/devices/vfioN) and iommufd (/dev/iommu).

Source: Linux 6.12, Documentation/driver-api/vfio.rst, "IOMMUFD and vfio_iommu_type1" and
"VFIO Device cdev".
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import ExitStack, nullcontext, suppress

from pymmio.backend.vfio import cdev_refusals, refusals, uapi
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.iommufd import AddressSpace
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.sysfs import CDEVS, PciFunction, holders, is_noiommu_group
from pymmio.backend.vfio.vf_token import VfToken, set_token
from pymmio.errors import DeviceBusy, PymmioError, Unsupported
from pymmio.handle import DmaHandle

__all__ = ["CdevConnection", "why_not"]


def why_not(kernel: Kernel, function: PciFunction) -> PymmioError | None:
    """Return why the machine does not offer this way; None where it does."""
    group = function.iommu_group
    if group is not None and is_noiommu_group(kernel, group):
        return refusals.noiommu_only(function, group)
    if function.vfio_name is None:
        return cdev_refusals.no_cdev(kernel, function)
    if not kernel.exists(cdev_refusals.IOMMU_PATH):
        return cdev_refusals.no_iommu_node(kernel)
    return None


class CdevConnection:
    """Connection of one device in an I/O address space, its own or one that it shares."""

    interface = "cdev"

    def __init__(
        self, kernel: Kernel, function: PciFunction, space: AddressSpace, device: Descriptor
    ) -> None:
        """Take over one use of the address space, and the device."""
        self._kernel = kernel
        self._function = function
        self._space = space
        self._device = device
        self._is_closed = False

    @classmethod
    def open(
        cls,
        kernel: Kernel,
        function: PciFunction,
        *,
        peer: CdevConnection | None = None,
        token: VfToken | None = None,
    ) -> CdevConnection:
        """Open the device, bind it to an iommufd and attach it to an address space there.

        With ``peer`` its address space is used.  A step that fails undoes those before it in
        reverse order; the peer is left as it was.  Raises DeviceNotFound, DeviceBusy,
        PermissionRefused or Unsupported, each with the next step.
        """
        refused = why_not(kernel, function)
        if refused is not None:
            raise refused
        with nullcontext() if peer is None else peer.space.shared.lock, ExitStack() as undo:
            if peer is None:
                space = AddressSpace.open(kernel, function)
            else:
                space = peer.space
                space.shared.join()
            undo.callback(_leave_quietly, space, function)
            device = _open_node(kernel, function)
            undo.callback(device.close)
            _bind(kernel, function, device, space, token)
            _attach(kernel, function, device, space, is_shared=peer is not None)
            undo.pop_all()
            return cls(kernel, function, space, device)

    @property
    def device(self) -> Descriptor:
        """The device's descriptor."""
        return self._device

    @property
    def dma(self) -> DmaHandle:
        """The address space."""
        return self._space.dma

    @property
    def space(self) -> AddressSpace:
        """The address space, for devices that shall share it."""
        return self._space

    def close(self) -> None:
        """Close the device, which detaches and unbinds it; then the space, with its last device.

        Where others go on with the address space the device is detached first, so that it
        reaches none of their memory even if a mapping keeps it alive.  Each step is made
        whatever became of the one before.  DeviceBusy says, after everything of ours was
        closed, that somebody still holds the device.
        """
        with self._space.shared.lock:
            if self._is_closed:
                return
            self._is_closed = True
            with ExitStack() as steps:  # runs from the last to the first, whatever fails
                steps.callback(self._space.leave, self._function)
                steps.callback(self._device.close)
                if self._device.is_ours and self._space.shared.users > 1:
                    steps.callback(self._detach)

    def after_fork(self) -> None:
        """Let the parent's descriptors go in a child, without any ioctl."""
        self._device.after_fork()
        self._space.after_fork()

    def _detach(self) -> None:
        layout = uapi.DETACH_IOMMUFD_PT
        argument = bytearray(layout.pack(layout.size, 0))
        with suppress(OSError):  # ENODEV: it was removed; closing it detaches as well
            self._kernel.ioctl(self._device.fd, uapi.DEVICE_DETACH_IOMMUFD_PT, argument)


def _leave_quietly(space: AddressSpace, function: PciFunction) -> None:
    """Take the space down on the way out of a failure, which is the error that counts."""
    with suppress(DeviceBusy):
        space.leave(function)


def _node(function: PciFunction) -> str:
    return f"{CDEVS}/{function.vfio_name}"


def _open_node(kernel: Kernel, function: PciFunction) -> Descriptor:
    path = _node(function)
    try:
        return Descriptor(kernel, kernel.open(path, os.O_RDWR), path)
    except OSError as error:
        raise cdev_refusals.cannot_open_cdev(kernel, function, path, error) from error


def _bind(
    kernel: Kernel,
    function: PciFunction,
    device: Descriptor,
    space: AddressSpace,
    token: VfToken | None,
) -> None:
    try:
        if token is None:
            _bind_plainly(kernel, device.fd, space.fd)
        else:
            _bind_with_token(kernel, function, device.fd, space.fd, token)
    except PymmioError:  # some of which are OSErrors as well
        raise
    except OSError as error:
        device.close()  # so that our own descriptor is not among those that hold the device
        if token is not None and error.errno == errno.EACCES:
            raise refusals.token_refused(function, token, error) from error
        raise cdev_refusals.cannot_bind(kernel, function, _node(function), error) from error


def _bind_plainly(kernel: Kernel, device_fd: int, iommufd: int) -> None:
    layout = uapi.BIND_IOMMUFD
    argument = bytearray(layout.pack(layout.size, 0, iommufd, 0))
    kernel.ioctl(device_fd, uapi.DEVICE_BIND_IOMMUFD, argument)


def _bind_with_token(
    kernel: Kernel, function: PciFunction, device_fd: int, iommufd: int, token: VfToken
) -> None:
    """Bind with a token.  Kernels before 6.18 know none here, and ask virtual functions for none.

    There a physical function is bound without it and gets it afterwards.
    """
    layout = uapi.BIND_IOMMUFD_TOKEN
    data = bytearray(token.data)
    pointer = ctypes.addressof(ctypes.c_char.from_buffer(data))
    argument = layout.pack(layout.size, uapi.BIND_WITH_TOKEN, iommufd, 0, pointer)
    try:
        kernel.ioctl(device_fd, uapi.DEVICE_BIND_IOMMUFD, bytearray(argument))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        if not function.has_sriov:
            if len(holders(kernel, _node(function))) > 1:
                raise
            raise Unsupported(
                f"{function.address} cannot be given a VF token by its cdev: "
                f"{refusals.reason(error)}",
                hint="This kernel takes tokens by interface=group only (cdevs: from Linux 6.18), "
                "or the device needs none: leave vf_token out",
            ) from error
        _bind_plainly(kernel, device_fd, iommufd)
        try:
            set_token(kernel, device_fd, token)
        except OSError as failed:
            raise refusals.token_not_wanted(function, failed) from failed


def _attach(
    kernel: Kernel,
    function: PciFunction,
    device: Descriptor,
    space: AddressSpace,
    *,
    is_shared: bool,
) -> None:
    layout = uapi.ATTACH_IOMMUFD_PT
    argument = bytearray(layout.pack(layout.size, 0, space.ioas_id))
    try:
        # It writes back the id of the hardware page table; memory is mapped by that of the IOAS.
        kernel.ioctl(device.fd, uapi.DEVICE_ATTACH_IOMMUFD_PT, argument)
    except OSError as error:
        raise cdev_refusals.cannot_attach(function, error, is_shared=is_shared) from error
    try:
        space.dma.refresh()
    except PymmioError:  # some of which are OSErrors as well
        raise
    except OSError as error:
        raise Unsupported(
            f"the kernel does not say which IOVAs {function.address} can reach: "
            f"{refusals.reason(error)}",
            hint="See the kernel's log",
        ) from error
