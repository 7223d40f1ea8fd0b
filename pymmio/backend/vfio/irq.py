"""Interrupts of a VFIO device, delivered to eventfds.

Source: Linux 6.12, include/uapi/linux/vfio.h (VFIO_DEVICE_SET_IRQS) and
drivers/vfio/pci/vfio_pci_intrs.c.
"""

from __future__ import annotations

import errno
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.descriptor import Descriptor
from pymmio.backend.vfio.kernel import Kernel
from pymmio.backend.vfio.refusals import reason
from pymmio.errors import DeviceBusy, DeviceGone, PymmioError, Unsupported, VectorsExhausted
from pymmio.handle import IrqKind

__all__ = ["VfioIrq", "changed_pieces"]

_INDEX = {
    IrqKind.INTX: uapi.IrqIndex.INTX,
    IrqKind.MSI: uapi.IrqIndex.MSI,
    IrqKind.MSIX: uapi.IrqIndex.MSIX,
    IrqKind.ERR: uapi.IrqIndex.ERR,
    IrqKind.REQ: uapi.IrqIndex.REQ,
}
# A function has one of these at a time; ERR and REQ stand beside them.
_EXCLUSIVE = frozenset({IrqKind.INTX, IrqKind.MSI, IrqKind.MSIX})
_FD_ARRAY_ITEM = "i"  # __s32


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the kernel says about a kind of interrupt."""

    count: int
    flags: uapi.IrqInfoFlags


class VfioIrq:
    """IrqHandle of a VFIO device.  Safe to use from several threads."""

    def __init__(self, kernel: Kernel, device: Descriptor, kinds_known: int, name: str) -> None:
        """Take over nothing; ``kinds_known`` is num_irqs of struct vfio_device_info."""
        self._kernel = kernel
        self._device = device
        self._kinds_known = kinds_known
        self._name = name
        self._enabled: dict[IrqKind, tuple[int, ...]] = {}
        self._lock = threading.Lock()

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors the device has; 0 where it or VFIO offers none."""
        return self._ask(kind).count

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver vectors 0, 1, ... to ``eventfds``, in place of those enabled before.

        A vector whose descriptor is -1 is left out.  A kernel that adds MSI-X vectors to a
        running set (from 6.4 on) takes a vector of the machine only for those that are asked
        for, and those that stay are not touched.  Where it cannot, or there are fewer than
        before, the whole kind is switched off and on again: interrupts that come in between
        are lost.  Raises Unsupported, VectorsExhausted, DeviceBusy and DeviceGone; after a
        failure the kind is off.
        """
        wanted = tuple(eventfds)
        with self._lock:
            if not any(fd >= 0 for fd in wanted):
                self._disable(kind)
                return
            known = self._ask(kind)
            self._check(kind, len(wanted), known)
            before = self._enabled.get(kind, ())
            is_fixed = bool(known.flags & uapi.IrqInfoFlags.NORESIZE)
            if len(wanted) < len(before) or (before and is_fixed and len(wanted) > len(before)):
                self._disable(kind)
                before = ()
            pieces = [(0, wanted)] if is_fixed and not before else changed_pieces(before, wanted)
            for start, part in pieces:
                self._set(kind, start, part)
            self._enabled[kind] = wanted

    def disable(self, kind: IrqKind) -> None:
        """Deliver no vector of this kind any more; no error if none was enabled."""
        with self._lock:
            self._disable(kind)

    def unmask_intx(self) -> None:
        """Let the next INTx through; VFIO masks the line each time that it fires.

        Raises Unsupported while INTx is not enabled.
        """
        if not self._enabled.get(IrqKind.INTX):
            raise Unsupported(
                f"{self._name}: INTx is not enabled, so there is nothing to unmask",
                hint="Enable it first; it stays masked after each event only",
            )
        flags = uapi.IrqSetFlags.DATA_NONE | uapi.IrqSetFlags.ACTION_UNMASK
        try:
            self._set_irqs(IrqKind.INTX, flags, 1)
        except OSError as error:
            raise self._error("unmasking INTx", error) from error

    def after_fork(self) -> None:
        """In a forked child: nothing is enabled here, and nobody holds the lock."""
        self._enabled = {}
        self._lock = threading.Lock()

    def _ask(self, kind: IrqKind) -> _Kind:
        nothing = _Kind(0, uapi.IrqInfoFlags(0))
        index = _INDEX[kind]
        if index >= self._kinds_known:
            return nothing
        argument = bytearray(uapi.IRQ_INFO.pack(uapi.IRQ_INFO.size, 0, index, 0))
        try:
            self._kernel.ioctl(self._device.fd, uapi.DEVICE_GET_IRQ_INFO, argument)
        except OSError as error:
            if error.errno == errno.EINVAL:  # ERR on a conventional PCI function
                return nothing
            raise self._error(f"asking about {kind}", error) from error
        _, flags, _, count = uapi.IRQ_INFO.unpack(argument)
        if not flags & uapi.IrqInfoFlags.EVENTFD:
            return nothing
        return _Kind(count, uapi.IrqInfoFlags(flags))

    def _check(self, kind: IrqKind, wanted: int, known: _Kind) -> None:
        if wanted > known.count:
            has = f"{known.count} vectors" if known.count else "no interrupt"
            raise Unsupported(
                f"{self._name} has {has} of kind {kind}, {wanted} were asked for",
                hint="See `pymmio caps` for what the device offers",
            )
        others = [str(k) for k in self._enabled if k in _EXCLUSIVE and k is not kind]
        if kind in _EXCLUSIVE and others:
            raise DeviceBusy(
                f"{self._name}: {kind} cannot be enabled while {others[0]} is",
                hint=f"A function uses one of INTx, MSI and MSI-X: disable {others[0]} first",
            )

    def _set(self, kind: IrqKind, start: int, eventfds: Sequence[int]) -> None:
        flags = uapi.IrqSetFlags.DATA_EVENTFD | uapi.IrqSetFlags.ACTION_TRIGGER
        data = struct.pack(f"={len(eventfds)}{_FD_ARRAY_ITEM}", *eventfds)
        what = f"enabling {len(eventfds)} vectors of {kind} from {start} on"
        try:
            possible = self._set_irqs(kind, flags, len(eventfds), data, start=start)
        except OSError as error:
            self._forget(kind)
            raise self._error(what, error) from error
        if possible > 0:  # pci_alloc_irq_vectors: so many were to be had, and none is set up
            self._forget(kind)
            raise VectorsExhausted(
                f"{self._name}: {what}: the machine has only {possible} to give",
                possible=possible,
                hint=f"Ask for {possible} or fewer, or enable(count, partial=True)",
            )

    def _forget(self, kind: IrqKind) -> None:
        """Switch off what may be left of a kind whose set-up failed, which is being raised."""
        self._enabled.pop(kind, None)
        with suppress(OSError):  # EINVAL: nothing was left
            self._set_irqs(kind, _OFF, 0)

    def _disable(self, kind: IrqKind) -> None:
        if not self._enabled.get(kind):
            return
        try:
            self._set_irqs(kind, _OFF, 0)
        except OSError as error:
            failure = self._error(f"disabling {kind}", error)
            if isinstance(failure, DeviceGone):
                del self._enabled[kind]
            raise failure from error
        del self._enabled[kind]

    def _set_irqs(
        self, kind: IrqKind, flags: int, count: int, data: bytes = b"", *, start: int = 0
    ) -> int:
        size = uapi.IRQ_SET.size + len(data)
        header = uapi.IRQ_SET.pack(size, flags, _INDEX[kind], start, count)
        return self._kernel.ioctl(self._device.fd, uapi.DEVICE_SET_IRQS, bytearray(header + data))

    def _error(self, what: str, error: OSError) -> PymmioError:
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return DeviceGone(f"{self._name}: {what}: the device is gone ({reason(error)})")
        if error.errno == errno.EBUSY:
            return DeviceBusy(
                f"{self._name}: {what}: {reason(error)}",
                hint="The interrupt line is shared with a kernel driver and the device cannot "
                "mask INTx itself: use MSI or MSI-X",
            )
        if error.errno in (errno.ENOSPC, errno.ENOMEM):
            return VectorsExhausted(
                f"{self._name}: {what}: {reason(error)}",
                hint="The machine has no more interrupt vectors: ask for fewer, or "
                "enable(count, partial=True)",
            )
        return Unsupported(f"{self._name}: {what}: {reason(error)}", hint="See the kernel's log")


def changed_pieces(
    before: Sequence[int], wanted: Sequence[int]
) -> list[tuple[int, tuple[int, ...]]]:
    """Return runs (first vector, descriptors) that lead to another set, not a shorter one.

    A set that was off is begun with vector 0, wanted or not: the kernel takes vectors for
    all below the first one that it is told of.
    """
    differs = [
        index < 1 or wanted[index] >= 0
        if not before
        else wanted[index] != (before[index] if index < len(before) else -1)
        for index in range(len(wanted))
    ]
    pieces: list[tuple[int, tuple[int, ...]]] = []
    first = 0
    for index in range(len(wanted) + 1):
        if index < len(wanted) and differs[index]:
            continue
        if index > first:
            pieces.append((first, tuple(wanted[first:index])))
        first = index + 1
    return pieces


_OFF = uapi.IrqSetFlags.DATA_NONE | uapi.IrqSetFlags.ACTION_TRIGGER
