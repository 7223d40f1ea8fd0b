"""A device handle that passes everything on to a simulated device; faults override one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from pymmio.backend.sim import SimHandle
from pymmio.backend.sim import open as open_sim
from pymmio.device import Device
from pymmio.errors import Unsupported
from pymmio.handle import Access, IovaRange, IrqKind, RegionHandle, RegionInfo
from pymmio.policy import authorise
from pymmio.trace import Sink
from pymmio.uri import DeviceUri

__all__ = ["FAULTS", "BrokenHandle", "fault", "opener"]

FAULTS: dict[str, type[BrokenHandle]] = {}


def fault(kind: type[BrokenHandle]) -> type[BrokenHandle]:
    """Register a broken backend."""
    FAULTS[kind.__name__] = kind
    return kind


class BrokenHandle:
    """All four Protocols in one object, and the device's side of it.

    ``patched`` is a context manager around the whole life of a check, for faults above the
    backend: in what all backends share.
    """

    is_tolerant = False  #: takes any way of access

    @classmethod
    def patched(cls) -> AbstractContextManager[object]:
        return nullcontext()

    def __init__(self, inner: SimHandle) -> None:
        self.inner = inner
        self.dma = _Dma(self)
        self.irq = _Irq(self)
        inner.model.host = _Host(self)

    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        handle = open_sim(uri, share_dma_with=share_dma_with)
        assert isinstance(handle, SimHandle)
        return handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # --- device --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.inner.name

    def region_infos(self) -> Sequence[RegionInfo]:
        return self.inner.region_infos()

    def open_region(self, index: int) -> Any:
        return _Region(self, self.inner.open_region(index))

    def reset(self) -> None:
        self.inner.reset()

    def reset_methods(self) -> Any:
        return self.inner.reset_methods()

    def is_gone(self) -> bool:
        return self.inner.is_gone()

    def close(self) -> None:
        self.inner.close()

    # --- regions ---------------------------------------------------------------------------

    def read(self, region: RegionHandle, offset: int, width: int) -> int:
        return region.read(offset, width)

    def write(self, region: RegionHandle, offset: int, width: int, value: int) -> None:
        region.write(offset, width, value)

    def mmap_source(self, region: RegionHandle) -> tuple[int, int] | None:
        return region.mmap_source()

    def pread_source(self, region: RegionHandle) -> tuple[int, int] | None:
        return region.pread_source()

    # --- memory ------------------------------------------------------------------------------

    def iova_ranges(self) -> Sequence[IovaRange]:
        return self.inner.dma.iova_ranges

    def map(self, iova: int, size: int, **memory: int) -> None:
        self.inner.dma.map(iova, size, **memory)  # type: ignore[arg-type]

    def unmap(self, iova: int, size: int) -> None:
        self.inner.dma.unmap(iova, size)  # type: ignore[arg-type]

    def device_reads(self, iova: int, size: int) -> bytes:
        return self.inner.dma_read(iova, size)

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        self.inner.dma_write(iova, data)

    # --- interrupts ----------------------------------------------------------------------------

    def count(self, kind: IrqKind) -> int:
        return self.inner.irq.count(kind)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        self.inner.irq.enable(kind, eventfds)

    def disable(self, kind: IrqKind) -> None:
        self.inner.irq.disable(kind)

    def unmask_intx(self) -> None:
        self.inner.irq.unmask_intx()

    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        self.inner.raise_irq(kind, vector)

    def lower_intx(self) -> None:
        self.inner.lower_intx()


class _Region:
    def __init__(self, owner: BrokenHandle, inner: RegionHandle) -> None:
        self._owner, self._inner = owner, inner

    @property
    def info(self) -> RegionInfo:
        index = self._inner.info.index
        return next(info for info in self._owner.region_infos() if info.index == index)

    def read(self, offset: int, width: int) -> int:
        return self._owner.read(self._inner, offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        self._owner.write(self._inner, offset, width, value)

    def mmap_source(self) -> tuple[int, int] | None:
        return self._owner.mmap_source(self._inner)

    def pread_source(self) -> tuple[int, int] | None:
        return self._owner.pread_source(self._inner)


class _Dma:
    def __init__(self, owner: BrokenHandle) -> None:
        self._owner = owner

    @property
    def iova_ranges(self) -> Sequence[IovaRange]:
        return self._owner.iova_ranges()

    @property
    def page_size(self) -> int:
        return self._owner.inner.dma.page_size

    @property
    def max_mappings(self) -> int:
        return self._owner.inner.dma.max_mappings

    pins_memory = False

    def map(self, iova: int, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        self._owner.map(iova, size, address=address, fd=fd, fd_offset=fd_offset)

    def unmap(self, iova: int, size: int) -> None:
        self._owner.unmap(iova, size)


class _Irq:
    def __init__(self, owner: BrokenHandle) -> None:
        self._owner = owner

    def count(self, kind: IrqKind) -> int:
        return self._owner.count(kind)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        self._owner.enable(kind, eventfds)

    def disable(self, kind: IrqKind) -> None:
        self._owner.disable(kind)

    def unmask_intx(self) -> None:
        self._owner.unmask_intx()


class _Host:
    """What the model sees of its host."""

    def __init__(self, owner: BrokenHandle) -> None:
        self._owner = owner

    def dma_read(self, iova: int, size: int) -> bytes:
        return self._owner.device_reads(iova, size)

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        self._owner.device_writes(iova, data)

    def raise_irq(self, kind: IrqKind, vector: int = 0) -> None:
        self._owner.raise_irq(kind, vector)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner.inner, name)

    def lower_intx(self) -> None:
        self._owner.lower_intx()


def _inner_of(handle: Any) -> Any:
    """Return the handle below a broken one; what is none of ours is handed on."""
    return getattr(handle, "inner", handle)


def opener(kind: type[BrokenHandle]) -> Callable[..., Device]:
    """Return what stands for ``open_device`` and opens such a backend."""

    def open_device(
        uri: str | DeviceUri,
        *,
        access: str | Access = Access.AUTO,
        trace: Sink | None = None,
        share_dma_with: Device | None = None,
    ) -> Device:
        parsed = DeviceUri.parse(uri) if isinstance(uri, str) else uri
        try:
            way = Access(access)
        except ValueError:
            if not kind.is_tolerant:
                raise Unsupported(f"{access} is none of {list(Access)}") from None
            way = Access.AUTO
        authorise(parsed)
        if share_dma_with is None:
            inner, dma = kind.open(parsed), None
        else:
            share_dma_with._require_open()
            inner = kind.open(parsed, _inner_of(share_dma_with.handle))
            dma = share_dma_with.dma
        with ExitStack() as undo:
            undo.callback(inner.close)
            device = Device(parsed, kind(inner), access=way, trace=trace, shared_dma=dma)
            undo.pop_all()
        return device

    return open_device
