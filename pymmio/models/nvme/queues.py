"""Submission and completion queues as the controller sees them.

Sources: NVMe Base 1.4 §4.1 and §4.6, Base 2.0 §3.3.1 and §3.3.3.2.
"""

from __future__ import annotations

from collections import deque

from pymmio.backend.model import ModelHost
from pymmio.models.nvme.command import COMPLETION, COMPLETION_SIZE, Command

__all__ = ["CompletionQueue", "SubmissionQueue"]


class CompletionQueue:
    """A completion queue; the controller writes at ``tail``, the driver reads at ``head``."""

    __slots__ = ("base", "head", "interrupts", "phase", "qid", "size", "tail", "vector", "waiting")

    def __init__(self, qid: int, base: int, size: int, *, vector: int, interrupts: bool) -> None:
        self.qid = qid
        self.base = base
        self.size = size
        self.vector = vector
        self.interrupts = interrupts
        self.head = 0
        self.tail = 0
        self.phase = 1
        self.waiting: deque[tuple[SubmissionQueue, int, int, int]] = deque()
        """Completions that are not posted yet: (queue, CID, status field, DW0)."""

    def post(self, host: ModelHost) -> bool:
        """Post waiting completions into free entries; return whether there were any.

        Entries that the driver has not consumed are never overwritten.  Raises IommuFault.
        """
        posted = False
        while self.waiting:
            free = (self.head - self.tail - 1) % self.size
            count = min(len(self.waiting), free, self.size - self.tail)
            if not count:
                break
            self._write(host, count)
            posted = True
        return posted

    def _write(self, host: ModelHost, count: int) -> None:
        """Write ``count`` entries: first all of them with the old phase, then the phases.

        A driver that polls at this moment in another thread thereby never sees a new
        phase in an entry of which the rest is old.
        """
        old, new = self.phase ^ 1, self.phase
        entries = bytearray(count * COMPLETION_SIZE)
        for index in range(count):
            queue, cid, status, dw0 = self.waiting[index]
            COMPLETION.pack_into(
                entries, 16 * index, dw0, 0, queue.head, queue.qid, cid, status << 1 | old
            )
        start = self.base + self.tail * COMPLETION_SIZE
        host.dma_write(start, entries)
        for index in range(count):
            _, cid, status, _ = self.waiting.popleft()
            last = cid | (status << 1 | new) << 16
            host.dma_write(start + 16 * index + 12, last.to_bytes(4, "little"))
        self.tail += count
        if self.tail == self.size:
            self.tail = 0
            self.phase = old

    def consume(self, head: int) -> bool:
        """Take a new head from the driver; False if it would pass what was posted."""
        if (
            head >= self.size
            or (head - self.head) % self.size > (self.tail - self.head) % self.size
        ):
            return False
        self.head = head
        return True

    def forget(self, queue: SubmissionQueue) -> None:
        """Drop what waits for a submission queue that is deleted."""
        self.waiting = deque(entry for entry in self.waiting if entry[0] is not queue)


class SubmissionQueue:
    """A submission queue; the driver writes at ``tail``, the controller reads at ``head``."""

    __slots__ = ("base", "cq", "head", "in_flight", "qid", "size", "tail")

    def __init__(self, qid: int, base: int, size: int, cq: CompletionQueue) -> None:
        self.qid = qid
        self.base = base
        self.size = size
        self.cq = cq
        self.head = 0
        self.tail = 0
        self.in_flight: dict[int, Command] = {}
        """Commands that were accepted and wait for something, by CID."""

    def produce(self, tail: int) -> bool:
        """Take a new tail from the driver; False if it is no valid one."""
        if tail >= self.size:
            return False
        free = (self.head - self.tail - 1) % self.size
        if (tail - self.tail) % self.size > free:
            return False
        self.tail = tail
        return True
