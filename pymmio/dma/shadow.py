"""DMA memory of which is known who wrote it, for recordings.

A recording has to tell what the device wrote into memory from what the program wrote.  So
the device gets a shadow of each buffer, and the two are brought together at each access, at each
interrupt, and every millisecond for programs that poll memory.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import threading
import time
from collections.abc import Iterator

from pymmio.arch.barriers import dma_rmb, dma_wmb
from pymmio.dma.memory import SharedMemory
from pymmio.dma.placed import PlacesMemory
from pymmio.dma.refused import RefusesDma
from pymmio.dma.traced import TracedDma, TracedPlacingDma
from pymmio.errors import BudgetExceeded, DmaError, Unsupported
from pymmio.handle import DmaHandle, Iova
from pymmio.trace import EventSink, MemoryEvent, RecordingSink

__all__ = ["ShadowedDma", "traced_dma"]

_PIECE = 4096
_ROUNDS = 8
_PERIOD_S = 0.001
_SHARE = 20  #: the thread works for 1/20 of the time at most
_JOIN_S = 5.0
_CHANGED = re.compile(rb"[^\0](?:\0{0,7}[^\0])*")
"""What differs; up to 7 bytes that do not are taken along."""

_libc = ctypes.CDLL(None)
_libc.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_libc.memcmp.restype = ctypes.c_int
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
_libc.mmap.restype = ctypes.c_void_p
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_MAP_FAILED = ctypes.c_void_p(-1).value


def traced_dma(inner: DmaHandle, sink: EventSink) -> DmaHandle:
    """Return a handle that reports to ``sink``, and shadows memory for a recording.

    Raises Unsupported for a recording where memory lies at physical addresses.
    """
    if isinstance(inner, RefusesDma):
        return inner
    if isinstance(sink, RecordingSink):
        if isinstance(inner, PlacesMemory):
            raise Unsupported(
                "a device without an IOMMU cannot be recorded: its addresses are those of the"
                " program's memory",
                hint="Trace it with another sink, or record it behind an IOMMU",
            )
        return ShadowedDma(inner, sink)
    if isinstance(inner, PlacesMemory):
        return TracedPlacingDma(inner, sink)
    return TracedDma(inner, sink)


class ShadowedDma(TracedDma):
    """Gives the device memory of its own for each buffer, and keeps the two in step."""

    sink: RecordingSink

    def __init__(self, inner: DmaHandle, sink: RecordingSink) -> None:
        super().__init__(inner, sink)
        self._pairs: dict[int, _Pair] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        sink.watch(self)

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Map a shadow of the memory.  Raises BudgetExceeded where it is too much to watch."""
        with self.sink.lock:
            watched = sum(pair.size for pair in self._pairs.values()) + size
            if watched > self.sink.memory_limit:
                raise BudgetExceeded(
                    f"a recording watches {self.sink.memory_limit:#x} bytes of DMA memory, and"
                    f" {watched:#x} would be mapped",
                    hint="Give RecordingSink a larger memory_limit=; each access takes longer then",
                )
            pair = _Pair(fd, fd_offset, size)
            try:
                at = pair.shadow
                self.inner.map(iova, size, address=at.address, fd=at.fd, fd_offset=0)
            except BaseException:
                pair.close()
                raise
            self._pairs[iova] = pair
            self._report("map", iova, size)
            if self._thread is None:
                name = "pymmio memory of a recording"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def unmap(self, iova: Iova, size: int) -> None:
        """Take the shadow away; what the device wrote until then comes back."""
        with self.sink.lock:
            self.sink.synchronise()
            self.inner.unmap(iova, size)
            self.sink.synchronise()
            pair = self._pairs.pop(iova, None)
            self._report("unmap", iova, size)
            if pair is not None:
                pair.close()

    def push(self) -> None:
        """Give the device what the program has written."""
        for pair in list(self._pairs.values()):
            pair.push()
        dma_wmb()  # the copies are visible before the access that follows

    def pull(self) -> list[MemoryEvent]:
        """Give the program what the device has written; return that.

        Looks again until nothing more has come: who sees a completion finds its data, too.
        """
        found: list[MemoryEvent] = []
        thread = threading.get_native_id()
        for _ in range(_ROUNDS):
            dma_rmb()  # the status that was read, or an earlier look, comes before this one
            now_ns = time.monotonic_ns()
            new = [
                MemoryEvent(now_ns, iova + offset, data, thread)
                for iova, pair in list(self._pairs.items())
                for offset, data in pair.pull()
            ]
            if not new:
                break
            found += new
        return found

    def _run(self) -> None:
        pause_s = _PERIOD_S
        while not self._end.wait(pause_s):
            start_s = time.monotonic()
            with self.sink.lock:
                if not self._end.is_set():
                    start_s = time.monotonic()
                    self.sink.synchronise()
            pause_s = max(_PERIOD_S, _SHARE * (time.monotonic() - start_s))

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)


class _Pair:
    """The program's memory, the device's shadow of it, and what both had last time.

    The program's memory is mapped once more: it may go away without a word, when a program
    forgets its device.
    """

    def __init__(self, fd: int, fd_offset: int, size: int) -> None:
        self.size = size
        self.shadow = SharedMemory(size)
        both = mmap.PROT_READ | mmap.PROT_WRITE
        address = _libc.mmap(None, size, both, mmap.MAP_SHARED, fd, fd_offset)
        if address == _MAP_FAILED:
            self.shadow.close()
            raise DmaError(
                f"a recording cannot map {size} bytes of DMA memory",
                hint="Free memory, or trace with another sink",
            )
        self.address: int = address
        self._base = ctypes.create_string_buffer(size)
        self._base_address = ctypes.addressof(self._base)
        ctypes.memmove(self._base_address, address, size)
        ctypes.memmove(self.shadow.address, self._base_address, size)

    def close(self) -> None:
        _libc.munmap(self.address, self.size)
        self.shadow.close()

    def push(self) -> None:
        for at, data, changed in self._changes(self.address):
            self._merge(self.shadow.address + at, data, changed)
            ctypes.memmove(self._base_address + at, data, len(data))

    def pull(self) -> Iterator[tuple[int, bytes]]:
        """Copy what the device wrote; give offsets and bytes, neighbours joined."""
        start, joined = 0, b""
        for at, data, changed in self._changes(self.shadow.address):
            self._merge(self.address + at, data, changed)
            ctypes.memmove(self._base_address + at, data, len(data))
            if joined and start + len(joined) == at:
                joined += data
            else:
                if joined:
                    yield start, joined
                start, joined = at, data
        if joined:
            yield start, joined

    def _changes(self, address: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Give offset, new bytes, and 1 bits where these differ from what was there last."""
        if not _libc.memcmp(address, self._base_address, self.size):
            return
        for at in range(0, self.size, _PIECE):
            length = min(_PIECE, self.size - at)
            new = ctypes.string_at(address + at, length)
            old = ctypes.string_at(self._base_address + at, length)
            if new == old:
                continue
            bits = int.from_bytes(new, "little") ^ int.from_bytes(old, "little")
            differ = bits.to_bytes(length, "little")
            for run in _CHANGED.finditer(differ):
                yield at + run.start(), new[run.start() : run.end()], run[0]

    @staticmethod
    def _merge(address: int, data: bytes, changed: bytes) -> None:
        """Write the bytes that changed, leave those between as they are now."""
        if 0 in changed:
            present = ctypes.string_at(address, len(data))
            data = bytes(
                new if bits else old for new, old, bits in zip(data, present, changed, strict=True)
            )
        ctypes.memmove(address, data, len(data))
