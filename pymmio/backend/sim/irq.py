"""Interrupts of simulated devices, delivered to eventfds."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence

from pymmio.backend.model import DeviceModel
from pymmio.backend.model_config import ConfigModel
from pymmio.errors import Unsupported
from pymmio.handle import IrqKind

__all__ = ["SimIrq"]


class SimIrq:
    """An :class:`~pymmio.handle.IrqHandle`, and the device's side of it.

    A message is sent only where its kind is enabled and the device may master the bus.  INTx
    is a level: it fires once, is masked, and fires again at the unmask if still asserted.
    """

    def __init__(self, model: DeviceModel, config: ConfigModel) -> None:
        self._config = config
        self._counts = {
            IrqKind.INTX: int(model.has_intx),
            IrqKind.MSI: model.msi_vectors,
            IrqKind.MSIX: model.msix_vectors,
            IrqKind.ERR: int(model.is_pcie),
            IrqKind.REQ: 1,
        }
        self._lock = threading.RLock()  # nobody writes to an eventfd that was taken away
        self._eventfds: dict[IrqKind, tuple[int, ...]] = {}
        self._is_asserted = False
        self._is_masked = False

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors of this kind the model has."""
        return self._counts.get(kind, 0)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver to these eventfds."""
        if len(eventfds) > self.count(kind):
            raise Unsupported(f"{len(eventfds)} {kind} vectors of {self.count(kind)}")
        with self._lock:
            self._eventfds[kind] = tuple(eventfds)
        self._show(kind, on=True)
        if kind is IrqKind.INTX:
            self._is_masked = False
            self._fire_intx()

    def disable(self, kind: IrqKind) -> None:
        """Deliver nothing of this kind any more."""
        with self._lock:
            self._eventfds.pop(kind, None)
        self._show(kind, on=False)

    def unmask_intx(self) -> None:
        """Let the next INTx through."""
        self._is_masked = False
        self._fire_intx()

    def _show(self, kind: IrqKind, *, on: bool) -> None:
        if kind is IrqKind.MSI:
            self._config.set_msi_enable(on)
        elif kind is IrqKind.MSIX:
            self._config.set_msix_enable(on)

    # --- the device's side -------------------------------------------------------------------

    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        """Send a message, or assert the pin."""
        if kind is IrqKind.INTX:
            self._is_asserted = True
            self._config.set_intx_status(True)
            self._fire_intx()
        elif self._config.is_master_on:
            self._signal(kind, vector)

    def report(self, kind: IrqKind) -> None:
        """Signal an event that is not an interrupt of the device (ERR, REQ)."""
        self._signal(kind, 0)

    def lower_intx(self) -> None:
        """Deassert the pin."""
        self._is_asserted = False
        self._config.set_intx_status(False)

    def reset(self) -> None:
        """Deassert; what the driver enabled stays enabled, as VFIO keeps it."""
        self.lower_intx()
        self._is_masked = False
        for kind in self._eventfds:
            self._show(kind, on=True)

    def _fire_intx(self) -> None:
        if self._is_asserted and not self._is_masked and self._config.is_intx_on:
            self._is_masked = self._signal(IrqKind.INTX, 0)

    def _signal(self, kind: IrqKind, vector: int) -> bool:
        with self._lock:
            eventfds = self._eventfds.get(kind, ())
            if not 0 <= vector < len(eventfds) or eventfds[vector] < 0:
                return False
            with contextlib.suppress(BlockingIOError):  # the counter is full: signalled anyway
                os.eventfd_write(eventfds[vector], 1)
            return True
