"""The persistent memory device (virtio 1.2 §5.19), with what a power cut does to it.

What the driver stores is volatile until a flush: only then it goes to the durable bytes, and to
the file behind them.  :meth:`VirtioPmemModel.cut_power` keeps any part of what was not flushed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pymmio.backend.model import BarSpec, ModelHost
from pymmio.errors import UriError
from pymmio.models.options import as_bool, as_int, as_size, refuse_unknown
from pymmio.models.virtio.device import SharedMemory, VirtioModel
from pymmio.models.virtio.ring import Chain

__all__ = ["CACHE_LINE", "VirtioPmemModel"]

CACHE_LINE = 64

_SHMEM_REGION = 1 << 0  # §5.19.3
_SHMEM_ID = 0  # §5.19.3.1
_FLUSH = 0  # §5.19.6
_OK, _ERROR = 0, 1
_BAR = 2
_PAGE = 4096
_COMPARED_AT_ONCE = 1 << 16


class VirtioPmemModel(VirtioModel):
    """One request queue, and memory of ``size`` bytes as shared-memory region 0 in BAR 2.

    ``file`` keeps the durable bytes, and is as large as ``size`` then.  ``shmem=off`` is a
    device of older kinds: its memory lies at ``start`` in the machine's addresses, where no BAR
    leads, and the model has nothing there.
    """

    device_type = 27
    device_features = _SHMEM_REGION
    queue_sizes = (64,)

    def __init__(
        self,
        *,
        size: str | int = "16M",
        file: str | os.PathLike[str] | None = None,
        shmem: str | bool = True,
        start: str | int = 0x40_0000_0000,
        **unknown: str,
    ) -> None:
        refuse_unknown("virtio-pmem", unknown, ("file", "shmem", "size", "start"))
        self.size = as_size("size", size)
        if self.size % _PAGE:
            raise UriError(f"option size={size}: {self.size} bytes are not whole pages")
        self.has_shmem = as_bool("shmem", shmem)
        self.start = as_int("start", start)
        self.path = None if file is None else Path(file)
        self.flushes = 0
        self.failing: int | None = None  #: what flushes answer in place of success
        self.is_holding = False  #: keep flushes without an answer until ``release``
        self._held: list[Chain] = []
        if self.has_shmem:
            self.shared_memory = (SharedMemory(_SHMEM_ID, _BAR, 0, self.size),)
        else:
            self.device_features = 0
        self._fd = self._open_file()
        self.durable = bytearray(self._load())
        super().__init__()

    def extra_bars(self) -> Sequence[BarSpec]:
        """Return the BAR of the memory: a power of two that holds it."""
        if not self.has_shmem:
            return ()
        room = 1 << max(12, (self.size - 1).bit_length())
        return (BarSpec(_BAR, room, prefetchable=True, ram=True),)

    def attach(self, host: ModelHost) -> None:
        """Show the durable bytes to the driver."""
        super().attach(host)
        if self.has_shmem:
            host.bar_memory(_BAR)[: self.size] = self.durable

    # --- the file ----------------------------------------------------------------------------

    def _open_file(self) -> int | None:
        if self.path is None:
            return None
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(fd).st_size < self.size:
            os.ftruncate(fd, self.size)
        return fd

    def _load(self) -> bytes:
        if self._fd is None:
            return bytes(self.size)
        data = os.pread(self._fd, self.size, 0)
        return data + bytes(self.size - len(data))

    def close(self) -> None:
        """Close the file; what was not flushed is lost."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def describe(self) -> Mapping[str, str]:
        """Return size and file."""
        return {"size": str(self.size), "file": str(self.path or "none")}

    # --- what virtio asks --------------------------------------------------------------------

    def config_bytes(self) -> bytes:
        """Return start and size; both 0 where the memory is a shared-memory region."""
        if self.has_shmem:
            return bytes(16)
        return struct.pack("<QQ", self.start, self.size)

    def serve(self, queue: int, chain: Chain) -> int | None:
        """Flush."""
        if self.is_holding:
            self._held.append(chain)
            return None
        return self._answer(chain)

    def _answer(self, chain: Chain) -> int:
        request = chain.read(self.host)
        if len(request) < 4 or int.from_bytes(request[:4], "little") != _FLUSH:
            return chain.write(self.host, struct.pack("<I", _ERROR))
        self.flushes += 1
        if self.failing is not None:
            return chain.write(self.host, struct.pack("<I", self.failing))
        self.flush()
        return chain.write(self.host, struct.pack("<I", _OK))

    def was_reset(self) -> None:
        """Forget flushes that are kept."""
        self._held.clear()

    # --- for tests ---------------------------------------------------------------------------

    def release(self, count: int | None = None) -> int:
        """Answer flushes that were kept, the oldest first; return how many."""
        chosen = self._held[:count]
        del self._held[: len(chosen)]
        for chain in chosen:
            self.complete(0, chain, self._answer(chain))
        return len(chosen)

    @property
    def held(self) -> int:
        """How many flushes are kept."""
        return len(self._held)

    def flush(self) -> None:
        """Make everything durable, as a flush of the driver does."""
        if not self.has_shmem:
            return
        memory = self.host.bar_memory(_BAR)
        for at in range(0, self.size, _COMPARED_AT_ONCE):
            end = min(at + _COMPARED_AT_ONCE, self.size)
            part = bytes(memory[at:end])
            if part != self.durable[at:end]:
                self._keep(at, part)
        if self._fd is not None:
            os.fsync(self._fd)

    def unflushed(self) -> list[int]:
        """Return the offsets of the cache lines that differ from what is durable."""
        memory = self.host.bar_memory(_BAR)
        found: list[int] = []
        for at in range(0, self.size, _PAGE):
            if bytes(memory[at : at + _PAGE]) != self.durable[at : at + _PAGE]:
                found += [
                    line
                    for line in range(at, at + _PAGE, CACHE_LINE)
                    if bytes(memory[line : line + CACHE_LINE])
                    != self.durable[line : line + CACHE_LINE]
                ]
        return found

    def cut_power(self, keep: Collection[int] = ()) -> None:
        """Lose what was not flushed, but for the cache lines at the offsets ``keep``.

        Caches and buffers write back what they like in the meantime: any subset of
        ``unflushed()`` is possible.  The memory then shows what is durable.
        """
        memory = self.host.bar_memory(_BAR)
        for line in keep:
            self._keep(line, bytes(memory[line : line + CACHE_LINE]))
        memory[: self.size] = self.durable

    def _keep(self, at: int, data: bytes) -> None:
        self.durable[at : at + len(data)] = data
        if self._fd is not None:
            os.pwrite(self._fd, data, at)
