"""DMA handles that report what is mapped and taken away."""

from __future__ import annotations

import threading
import time

from pymmio.dma.front import DmaInFront
from pymmio.dma.placed import PlacesMemory, TellsTranslation
from pymmio.handle import DmaHandle, Iova
from pymmio.trace import DmaEvent, EventSink

__all__ = ["TracedDma", "TracedPlacingDma"]


class TracedDma(DmaInFront):
    """A :class:`~pymmio.handle.DmaHandle` in front of another one."""

    def __init__(self, inner: DmaHandle, sink: EventSink) -> None:
        super().__init__(inner)
        self.sink = sink

    @property
    def translates(self) -> bool:
        """Whether the device's addresses are others than the machine's."""
        if isinstance(self.inner, TellsTranslation):
            return self.inner.translates
        return not isinstance(self.inner, PlacesMemory)

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Map and report it."""
        super().map(iova, size, address=address, fd=fd, fd_offset=fd_offset)
        self._report("map", iova, size)

    def unmap(self, iova: Iova, size: int) -> None:
        """Take away and report it."""
        super().unmap(iova, size)
        self._report("unmap", iova, size)

    def _report(self, kind: str, iova: int, size: int) -> None:
        event = DmaEvent(time.monotonic_ns(), kind, iova, size, threading.get_native_id())
        with self.sink.lock:
            self.sink.note(event)

    def close(self) -> None:
        """End what runs in the background; memory is not touched."""


class TracedPlacingDma(TracedDma):
    """The same where the memory's place decides about addresses."""

    def place(self, address: int, size: int) -> Iova:
        """Return where the device finds memory."""
        assert isinstance(self.inner, PlacesMemory)
        return self.inner.place(address, size)
