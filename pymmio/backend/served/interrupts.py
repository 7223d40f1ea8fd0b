"""Interrupts of a device model, delivered to eventfds."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import threading
from collections.abc import Sequence

from pymmio.backend.model import DeviceModel
from pymmio.backend.model_config import ConfigModel
from pymmio.errors import Unsupported
from pymmio.handle import IrqKind

__all__ = ["ServedIrq", "empty_eventfd"]

_MESSAGES = (IrqKind.MSI, IrqKind.MSIX)


class ServedIrq:
    """An :class:`~pymmio.handle.IrqHandle`, and the device's side of it.

    A message is sent only where its kind is enabled and the device may master the bus.  INTx
    is a level: it fires once, is masked, and fires again at the unmask if still asserted.
    Eventfds belong to the caller.  ``wary``: they may be blocking ones whose counter is full;
    the receiver has been signalled then anyway, and no write waits.
    """

    def __init__(self, model: DeviceModel, config: ConfigModel, *, wary: bool = False) -> None:
        self._config = config
        self._is_wary = wary
        self._counts = {
            IrqKind.INTX: int(model.has_intx),
            IrqKind.MSI: model.msi_vectors,
            IrqKind.MSIX: model.msix_vectors,
            IrqKind.ERR: int(model.is_pcie),
            IrqKind.REQ: 1,
        }
        self._lock = threading.RLock()  # nobody writes to an eventfd that was taken away
        self._eventfds: dict[IrqKind, list[int]] = {}
        self._masked: set[tuple[IrqKind, int]] = set()
        self._pending: set[tuple[IrqKind, int]] = set()
        self._is_asserted = False
        self._writes = itertools.count()
        self._writing: tuple[int, int] | None = None
        self._waiting: tuple[int, int] | None = None

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors of this kind the model has."""
        return self._counts.get(kind, 0)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver to these eventfds."""
        if len(eventfds) > self.count(kind):
            raise Unsupported(f"{len(eventfds)} {kind} vectors of {self.count(kind)}")
        with self._lock:
            self._forget_masks(kind)
            self._eventfds[kind] = list(eventfds)
            self._show(kind, on=True)
            if kind is IrqKind.INTX:
                self._fire_intx()

    def disable(self, kind: IrqKind) -> None:
        """Deliver nothing of this kind any more."""
        with self._lock:
            self._forget_masks(kind)
            self._eventfds.pop(kind, None)
            self._show(kind, on=False)

    def unmask_intx(self) -> None:
        """Let the next INTx through."""
        self.unmask(IrqKind.INTX, 0)

    def _show(self, kind: IrqKind, *, on: bool) -> None:
        if kind is IrqKind.MSI:
            self._config.set_msi_enable(on)
        elif kind is IrqKind.MSIX:
            self._config.set_msix_enable(on)

    def _forget_masks(self, kind: IrqKind) -> None:
        self._masked = {one for one in self._masked if one[0] is not kind}
        self._pending = {one for one in self._pending if one[0] is not kind}

    # --- single vectors, for those who set them one by one -------------------------------------

    def set_vector(self, kind: IrqKind, vector: int, eventfd: int) -> int:
        """Deliver one vector to ``eventfd``, -1 for nowhere; return where it went before, or -1.

        The kind is on afterwards, the other vectors stay as they are.
        """
        with self._lock:
            eventfds = self._eventfds.setdefault(kind, [])
            eventfds.extend([-1] * (vector + 1 - len(eventfds)))
            before, eventfds[vector] = eventfds[vector], eventfd
            self._show(kind, on=True)
            if kind is IrqKind.INTX:
                self._masked.discard((kind, vector))
                self._fire_intx()
            return before

    def eventfds(self, kind: IrqKind) -> tuple[int, ...]:
        """Return where the vectors go, -1 for nowhere; empty if the kind is off."""
        return tuple(self._eventfds.get(kind, ()))

    def mask(self, kind: IrqKind, vector: int) -> None:
        """Hold a vector back until :meth:`unmask`."""
        with self._lock:
            self._masked.add((kind, vector))

    def unmask(self, kind: IrqKind, vector: int) -> None:
        """Let a vector through, also one that came while it was masked."""
        with self._lock:
            self._masked.discard((kind, vector))
            if kind is IrqKind.INTX:
                self._fire_intx()
            elif (kind, vector) in self._pending:
                self._pending.discard((kind, vector))
                self._signal(kind, vector)

    def trigger(self, kind: IrqKind, vector: int) -> None:
        """Signal a vector as if the device had: a test of the way to the driver."""
        self._signal(kind, vector)

    # --- the device's side -------------------------------------------------------------------

    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        """Send a message, or assert the pin."""
        if kind is IrqKind.INTX:
            with self._lock:
                self._is_asserted = True
                self._config.set_intx_status(True)
                self._fire_intx()
        elif self._config.is_master_on:
            self._send(kind, vector)

    def report(self, kind: IrqKind) -> None:
        """Signal an event that is not an interrupt of the device (ERR, REQ)."""
        self._signal(kind, 0)

    def lower_intx(self) -> None:
        """Deassert the pin."""
        self._is_asserted = False
        self._config.set_intx_status(False)

    def refresh_intx(self) -> None:
        """Fire INTx if it is asserted and may: after COMMAND was written."""
        with self._lock:
            self._fire_intx()

    def reset(self) -> None:
        """Deassert; what the driver enabled stays enabled, as VFIO keeps it."""
        self.lower_intx()
        with self._lock:
            self._masked.discard((IrqKind.INTX, 0))
            self._pending.clear()
            for kind in self._eventfds:
                self._show(kind, on=True)

    def _send(self, kind: IrqKind, vector: int) -> None:
        with self._lock:
            if (kind, vector) in self._masked:
                self._pending.add((kind, vector))
            else:
                self._signal(kind, vector)

    def _fire_intx(self) -> None:
        line = (IrqKind.INTX, 0)
        if (
            self._is_asserted
            and line not in self._masked
            and self._config.is_intx_on
            and self._signal(*line)
        ):
            self._masked.add(line)

    def _signal(self, kind: IrqKind, vector: int) -> bool:
        with self._lock:
            eventfds = self._eventfds.get(kind, ())
            if not 0 <= vector < len(eventfds) or eventfds[vector] < 0:
                return False
            if not self._is_wary or _has_room(eventfds[vector]):
                self._writing = (eventfds[vector], next(self._writes))
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_write(eventfds[vector], 1)
                self._writing = None
            return True

    def free_writer(self) -> None:
        """Let go on who waits in a write since the last call; called by another thread.

        The owner of a blocking eventfd can fill its counter between a look at it and a write.
        """
        writing = self._writing
        if writing is not None and writing == self._waiting:
            empty_eventfd(writing[0])
        self._waiting = writing


def _has_room(eventfd: int) -> bool:
    """Tell whether a write would come back at once: the other side may have filled the counter."""
    poll = select.poll()
    poll.register(eventfd, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poll.poll(0))


def empty_eventfd(eventfd: int) -> None:
    """Read an eventfd of somebody else's, which may be a blocking one; do not wait."""
    try:
        os.preadv(eventfd, [bytearray(8)], -1, os.RWF_NOWAIT)
    except BlockingIOError:
        return  # its counter is 0
    except OSError:  # kernels before 5.8, and emulators, know no such flag here
        poll = select.poll()
        poll.register(eventfd, select.POLLIN)
        if poll.poll(0):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(eventfd)
