"""The memory of a queue pair."""

from __future__ import annotations

from pymmio.dma import DmaBuffer

__all__ = ["QueueMemory"]


class QueueMemory:
    """The memory of a queue pair: entries, and a PRP list area for each outstanding command.

    ``list_size`` is the size of an area in bytes, 0 if no command needs one.
    """

    def __init__(
        self, sq: DmaBuffer, cq: DmaBuffer, prp_lists: DmaBuffer | None, list_size: int
    ) -> None:
        self.sq = sq
        self.cq = cq
        self.prp_lists = prp_lists
        self.list_size = list_size
        self._buffers = [buffer for buffer in (sq, cq, prp_lists) if buffer is not None]
        for buffer in self._buffers:
            buffer.hold()

    def close(self) -> None:
        """Free it; the controller no longer reaches it."""
        buffers, self._buffers = self._buffers, []
        for buffer in buffers:
            buffer.release()
            buffer.close()
