"""Interrupts as a client sets them up: SET_IRQS in all its forms."""

from __future__ import annotations

import errno
import os

from pymmio.backend.served import ServedIrq, empty_eventfd
from pymmio.backend.vfio_user.descriptors import Descriptors
from pymmio.backend.vfio_user.messages import (
    IrqAction,
    IrqData,
    IrqFlags,
    IrqIndex,
    IrqInfo,
    SetIrqs,
)
from pymmio.backend.vfio_user.server.refusal import Refusal
from pymmio.handle import IrqKind

__all__ = ["ClientIrqs"]

_KINDS = {
    IrqIndex.INTX: IrqKind.INTX,
    IrqIndex.MSI: IrqKind.MSI,
    IrqIndex.MSIX: IrqKind.MSIX,
    IrqIndex.ERR: IrqKind.ERR,
    IrqIndex.REQ: IrqKind.REQ,
}
_FLAGS = {IrqKind.INTX: IrqFlags.EVENTFD | IrqFlags.MASKABLE | IrqFlags.AUTOMASKED}
_MASKABLE = (IrqKind.INTX, IrqKind.MSI, IrqKind.MSIX)
_EVENTFD = "anon_inode:[eventfd]"


class ClientIrqs:
    """The eventfds of one client; owns them."""

    def __init__(self, irq: ServedIrq) -> None:
        self._irq = irq
        self.unmask_fd = -1
        """An eventfd of the client's by which it unmasks INTx, or -1."""

    def info(self, index: int) -> IrqInfo:
        """Return what there is of a kind.  Raises Refusal."""
        kind = _kind(index)
        return IrqInfo(index, _FLAGS.get(kind, IrqFlags.EVENTFD), self._irq.count(kind))

    def set(self, request: SetIrqs, fds: Descriptors) -> None:
        """Do what a SET_IRQS asks for; takes the descriptors.  Raises Refusal."""
        kind = _kind(request.index)
        vectors = range(request.start, request.start + request.count)
        if vectors.stop > self._irq.count(kind):
            raise Refusal(
                errno.EINVAL, f"{kind} vectors {vectors} of {self._irq.count(kind)} that exist"
            )
        if request.data is IrqData.EVENTFD:
            self._set_eventfds(kind, request.action, vectors, fds)
            return
        if request.data is IrqData.BOOL:
            chosen = [v for v, is_meant in zip(vectors, request.chosen) if is_meant]
        else:
            chosen = list(vectors)
        if request.action is IrqAction.TRIGGER:
            if request.data is IrqData.NONE and not request.count:
                self._switch_off(kind)
            for vector in chosen:
                self._irq.trigger(kind, vector)
            return
        if kind not in _MASKABLE:
            raise Refusal(errno.EINVAL, f"{kind} cannot be masked")
        for vector in chosen:
            if request.action is IrqAction.MASK:
                self._irq.mask(kind, vector)
            else:
                self._irq.unmask(kind, vector)

    def _set_eventfds(
        self, kind: IrqKind, action: IrqAction, vectors: range, fds: Descriptors
    ) -> None:
        if action is IrqAction.MASK or (action is IrqAction.UNMASK and kind is not IrqKind.INTX):
            raise Refusal(errno.EOPNOTSUPP, f"an eventfd for {action.name} of {kind}")
        taken = [fds.take(index) for index in range(len(fds))]
        try:
            for fd in taken:
                _require_eventfd(fd)
        except BaseException:
            for fd in taken:
                os.close(fd)
            raise
        for vector, fd in zip(vectors, taken or [-1] * len(vectors)):
            if action is IrqAction.UNMASK:
                before, self.unmask_fd = self.unmask_fd, fd
            else:
                before = self._irq.set_vector(kind, vector, fd)
            if before >= 0:
                os.close(before)

    def unmask_by_eventfd(self) -> None:
        """Obey ``unmask_fd``, which can be read."""
        empty_eventfd(self.unmask_fd)
        self._irq.unmask_intx()

    def _switch_off(self, kind: IrqKind) -> None:
        eventfds = self._irq.eventfds(kind)
        self._irq.disable(kind)
        if kind is IrqKind.INTX and self.unmask_fd >= 0:
            eventfds += (self.unmask_fd,)
            self.unmask_fd = -1
        for fd in eventfds:
            if fd >= 0:
                os.close(fd)

    def close(self) -> None:
        """Switch everything off; close all eventfds."""
        for kind in _KINDS.values():
            self._switch_off(kind)


def _kind(index: int) -> IrqKind:
    try:
        return _KINDS[IrqIndex(index)]
    except ValueError:
        raise Refusal(errno.EINVAL, f"interrupt index {index}") from None


def _require_eventfd(fd: int) -> None:
    """Raise Refusal for any other file: a write to it might never come back."""
    if os.readlink(f"/proc/self/fd/{fd}") != _EVENTFD:
        raise Refusal(errno.EINVAL, "the descriptor of a SET_IRQS is no eventfd")
