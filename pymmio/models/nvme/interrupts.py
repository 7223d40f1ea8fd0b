"""Interrupts of completion queues: MSI-X, MSI and the pin (NVMe Base 1.4 §7.5, PCIe Transport 1.0).

The model signals every kind that it has; the host delivers the one that the driver
enabled and drops the others, as a function with MSI-X enabled does not use its pin.
"""

from __future__ import annotations

from pymmio.backend.model import ModelHost
from pymmio.handle import IrqKind
from pymmio.models.nvme.options import NvmeOptions
from pymmio.models.nvme.queues import CompletionQueue

__all__ = ["Interrupts"]


class Interrupts:
    """Which queues have something to say, and the pin that they share."""

    def __init__(self, options: NvmeOptions) -> None:
        self.vectors = options.msix_qsize
        self._msi_vectors = options.msi
        self._mask = 0
        self._pin = False
        self._unread: dict[int, CompletionQueue] = {}

    def posted(self, host: ModelHost, queue: CompletionQueue) -> None:
        """Signal that entries were posted to ``queue``."""
        if not queue.interrupts:
            return
        host.raise_irq(IrqKind.MSIX, queue.vector)
        self._unread[queue.qid] = queue
        if not self._is_masked(queue):
            self._message(host, queue)
        self._update_pin(host)

    def consumed(self, host: ModelHost, queue: CompletionQueue) -> None:
        """Take note that the driver moved the head of ``queue``, or deleted it."""
        if queue.head == queue.tail and self._unread.pop(queue.qid, None) is not None:
            self._update_pin(host)

    def forget(self, host: ModelHost, queue: CompletionQueue) -> None:
        """Drop a queue that is deleted."""
        if self._unread.pop(queue.qid, None) is not None:
            self._update_pin(host)

    def reset(self, host: ModelHost) -> None:
        """Forget all queues and the mask; deassert the pin."""
        self._unread.clear()
        self._mask = 0
        self._update_pin(host)

    def set_mask(self, host: ModelHost, mask: int) -> None:
        """Take a new INTMS/INTMC mask; what was hidden by it is signalled now."""
        opened = self._mask & ~mask
        self._mask = mask
        for queue in self._unread.values():
            if opened >> queue.vector & 1:
                self._message(host, queue)
        self._update_pin(host)

    def _is_masked(self, queue: CompletionQueue) -> bool:
        return bool(self._mask >> queue.vector & 1)

    def _message(self, host: ModelHost, queue: CompletionQueue) -> None:
        if self._msi_vectors:
            host.raise_irq(IrqKind.MSI, queue.vector % self._msi_vectors)

    def _update_pin(self, host: ModelHost) -> None:
        wanted = any(not self._is_masked(queue) for queue in self._unread.values())
        if wanted and not self._pin:
            self._pin = True
            host.raise_irq(IrqKind.INTX)
        elif self._pin and not wanted:
            self._pin = False
            host.lower_intx()
