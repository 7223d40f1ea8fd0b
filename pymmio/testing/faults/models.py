"""What a device model does to the driver's memory, in which things go wrong.

A model, unlike a device behind VFIO or in another process, tells of each transfer that it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pymmio.backend.model import DeviceModel, ModelHost
from pymmio.errors import IommuFault, PymmioError
from pymmio.handle import IrqKind
from pymmio.testing.faults import nvme
from pymmio.testing.faults.event import Event, EventKind
from pymmio.testing.faults.fault import What
from pymmio.testing.faults.injector import Injected, Injector
from pymmio.testing.faults.later import Later

__all__ = ["FaultyHost", "hook_model"]


class FaultyHost:
    """A ModelHost in front of the one that serves the model."""

    def __init__(self, inner: ModelHost, faults: Injector, later: Later) -> None:
        self.inner = inner
        self._faults = faults
        self._later = later

    def dma_read(self, iova: int, size: int) -> bytes:
        """Read memory for the model, and spoil what it gave."""
        self._require_there(iova)
        data = self.inner.dma_read(iova, size)
        for injected in self._faults.decide(Event(EventKind.DMA_READ, iova=iova, data=bytes(data))):
            if injected.fault.what is What.DMA_REFUSED:
                raise self._refused(iova)
            if injected.fault.what is What.DMA_READ_WRONG:
                data = _changed(injected, data)
        return data

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        """Write memory for the model: spoilt, later, or not at all."""
        self._require_there(iova)
        content = bytes(data)
        for injected in self._faults.decide(Event(EventKind.DMA_WRITE, iova=iova, data=content)):
            what = injected.fault.what
            if what is What.DMA_REFUSED:
                raise self._refused(iova)
            if what is What.DMA_WRITE_LOST:
                return
            if what is What.DMA_WRITE_WRONG:
                content = _changed(injected, content)
            elif what is What.DMA_WRITE_LATE:
                write = partial(self._write_late, injected, iova, content)
                self._later.call(injected.fault.delay_s, write)
                return
        self.inner.dma_write(iova, content)

    def _write_late(self, injected: Injected, iova: int, data: bytes) -> None:
        if injected.is_stale:
            injected.outcome = "never came: the device was reset"
            return
        try:
            self._require_there(iova)
            self.inner.dma_write(iova, data)
        except (PymmioError, ValueError) as error:  # unmapped, or all of it closed
            injected.outcome = f"refused: {error}"
        else:
            injected.outcome = "arrived"

    def _require_there(self, iova: int) -> None:
        if self._faults.is_removed:
            raise IommuFault(f"the device was removed while it accessed iova {iova:#x}")

    def _refused(self, iova: int) -> IommuFault:
        return IommuFault(f"the device accessed iova {iova:#x}: refused, injected by a test")

    def raise_irq(self, kind: IrqKind, vector: int = 0) -> None:
        """Signal an interrupt for the model."""
        if not self._faults.is_removed:
            self.inner.raise_irq(kind, vector)

    def lower_intx(self) -> None:
        """Deassert INTx for the model."""
        self.inner.lower_intx()

    def bar_memory(self, index: int) -> memoryview:
        """Return the memory behind a BAR."""
        return self.inner.bar_memory(index)


def hook_model(model: DeviceModel, faults: Injector, later: Later) -> Callable[[], None]:
    """Put a FaultyHost between a model and whoever serves it, now or when that begins.

    Returns what undoes it.
    """
    if model.class_code == nvme.CLASS_CODE:
        faults.track(nvme.Queues())  # for faults that are added when the queues exist already
    before = {name: model.__dict__.get(name) for name in ("attach", "bar_write")}
    write = model.bar_write
    attach = model.attach

    def observed(bar: int, offset: int, width: int, value: int) -> None:
        faults.observe(Event(EventKind.MODEL_WRITE, bar, offset, width, value))
        write(bar, offset, width, value)

    def attached(host: ModelHost) -> None:
        attach(FaultyHost(host, faults, later))

    model.bar_write = observed  # type: ignore[method-assign]
    host = getattr(model, "host", None)
    if host is None:
        model.attach = attached  # type: ignore[method-assign]
    else:
        model.host = FaultyHost(host, faults, later)

    def undo() -> None:
        for name, former in before.items():
            if former is None:
                model.__dict__.pop(name, None)
            else:
                model.__dict__[name] = former
        served_by = getattr(model, "host", None)
        if isinstance(served_by, FaultyHost):
            model.host = served_by.inner

    return undo


def _changed(injected: Injected, data: bytes) -> bytes:
    change = injected.fault.change
    if change is None:
        return bytes(byte ^ 0xFF for byte in data)
    changed = change(bytes(data))
    if len(changed) != len(data):
        raise ValueError(f"{injected.fault!r} made {len(changed)} bytes of {len(data)}")
    return changed
