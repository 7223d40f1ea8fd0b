"""A device handle in front of another one, in which things go wrong.

It works with every backend: accesses, interrupts, mappings of memory and resets pass through
here.  Regions are never mapped, so that each access is seen, those of queue engines in C too:
their doorbells are handed to Python.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from pymmio.dma.front import DmaInFront
from pymmio.errors import (
    AccessFault,
    DeviceGone,
    DmaError,
    PymmioError,
    Unsupported,
    VectorsExhausted,
)
from pymmio.handle import (
    CONFIG_REGION,
    DeviceHandle,
    DmaHandle,
    Iova,
    IrqHandle,
    IrqKind,
    RegionHandle,
    RegionInfo,
)
from pymmio.pci import Command
from pymmio.pci.header import Offset
from pymmio.testing.faults.event import Event, EventKind
from pymmio.testing.faults.fault import What
from pymmio.testing.faults.injector import Injected, Injector
from pymmio.testing.faults.later import Later

__all__ = ["FaultyDevice", "FaultyDma", "FaultyIrq", "FaultyRegion"]

_INJECTED = "injected by a test"


class _InFront:
    """In front of another object: what that has beside what is wrapped is there, too.

    As attributes of a class of its own: since Python 3.12 an ``isinstance`` check of a Protocol
    looks there and does not call ``__getattr__``.
    """

    OWN: frozenset[str] = frozenset()

    def __new__(cls, inner: object, *_: object) -> Self:
        more = {
            name: _asked_of_inner(name)
            for name in dir(inner)
            if not (name.startswith("_") or hasattr(cls, name) or name in cls.OWN)
        }
        return super().__new__(type(cls.__name__, (cls,), {"__doc__": cls.__doc__, **more}))


def _asked_of_inner(name: str) -> property:
    return property(lambda self: getattr(self.inner, name))


class FaultyDevice(_InFront):
    """A DeviceHandle in front of ``inner``; what it does not know of is asked of that.

    ``faults`` is the injector: its log, ``add``, ``on`` and ``off``.
    """

    OWN = frozenset({"inner", "faults", "later", "irq", "dma", "on_close"})

    def __init__(self, inner: DeviceHandle, faults: Injector) -> None:
        self.inner = inner
        self.faults = faults
        self.later = Later(inner.name, self._interrupt)
        faults.on_release(self.later.release)
        self.irq = FaultyIrq(inner.irq, self)
        self.dma = FaultyDma(inner.dma, self)
        self.on_close: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        """The name of the device."""
        return self.inner.name

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the regions; none of them may be mapped."""
        return [_unmapped(info) for info in self.inner.region_infos()]

    def open_region(self, index: int) -> FaultyRegion:
        """Open a region whose accesses go wrong as planned."""
        return FaultyRegion(self, self.inner.open_region(index))

    def reset(self) -> None:
        """Reset the function; what was late never comes."""
        if self.faults.is_removed:
            raise DeviceGone(f"{self.name}: reset: the device is gone")
        for injected in self.faults.decide(Event(EventKind.RESET)):
            if injected.fault.what is What.RESET_FAILS:
                raise Unsupported(f"{self.name} cannot be reset: {_INJECTED}")
            if injected.fault.what is What.RESET_LATE:
                threading.Event().wait(injected.fault.delay_s)
        self.later.forget()
        self.inner.reset()

    def is_gone(self) -> bool:
        """Ask whether the device was removed, here or really."""
        return self.faults.is_removed or self.inner.is_gone()

    def release(self) -> int:
        """Let everything that is late come now; return how much that was."""
        return self.later.release()

    def close(self) -> None:
        """Give the device back."""
        try:
            self.later.close()
            self.on_close()
        finally:
            self.inner.close()

    # --- what befalls the device as a whole --------------------------------------------------

    def befall(self, injected: Injected) -> None:
        """Remove or reset the device, where that is what happens."""
        what = injected.fault.what
        if what is What.REMOVED and not self.faults.is_removed:
            self.faults.reads_when_removed = injected.fault.reads
            self.faults.is_removed = True
            self.later.forget()
            with suppress(PymmioError):  # it may be gone really
                config = self.inner.open_region(CONFIG_REGION)
                command = config.read(Offset.COMMAND, 2)
                config.write(Offset.COMMAND, 2, command & ~int(Command.BUS_MASTER))
        elif what is What.RESET:
            self.later.forget()
            self.inner.reset()

    def _interrupt(self, kind: IrqKind, vector: int, deliver: Callable[[], None]) -> None:
        """Hand an interrupt on, or not."""
        if self.faults.is_removed and kind is not IrqKind.REQ:
            return
        times = 1
        for injected in self.faults.decide(Event(EventKind.IRQ, irq=kind, vector=vector)):
            what = injected.fault.what
            if what is What.IRQ_LOST:
                times = 0
            elif what is What.IRQ_LATE and times:
                self.later.call(injected.fault.delay_s, deliver)
                times = 0
            elif what is What.IRQ_TWICE and times:
                times = 2
        for _ in range(times):
            deliver()


def _unmapped(info: RegionInfo) -> RegionInfo:
    return RegionInfo(info.index, info.name, info.size, info.readable, info.writable)


class FaultyRegion:
    """A RegionHandle in front of another one."""

    def __init__(self, device: FaultyDevice, inner: RegionHandle) -> None:
        self.inner = inner
        self.info = _unmapped(inner.info)
        self._device = device
        self._faults = device.faults

    def read(self, offset: int, width: int) -> int:
        """Make one read, and spoil what it gave."""
        if self._faults.is_removed:
            return self._removed(offset, width)
        value = self.inner.read(offset, width)
        event = Event(EventKind.READ, self.info.index, offset, width, value)
        for injected in self._faults.decide(event):
            fault = injected.fault
            self._device.befall(injected)
            if fault.what is What.REMOVED:
                return self._removed(offset, width)
            if fault.what is What.ACCESS_FAULT:
                raise self._fault(offset, width)
            if fault.what is What.RESET:
                value = self.inner.read(offset, width)
            elif fault.what is What.ONES:
                value = -1
            elif fault.what is What.READS_AS and fault.value is not None:
                value = fault.value
            elif fault.what is What.FLIPPED and fault.mask is not None:
                value ^= fault.mask
            value &= (1 << 8 * width) - 1
        return value

    def write(self, offset: int, width: int, value: int) -> None:
        """Make one write, or not."""
        if self._faults.is_removed:
            self._removed(offset, width, value)
            return
        event = Event(EventKind.WRITE, self.info.index, offset, width, value)
        for injected in self._faults.decide(event):
            self._device.befall(injected)
            if injected.fault.what is What.ACCESS_FAULT:
                raise self._fault(offset, width, value)
            if injected.fault.what is What.REMOVED:
                self._removed(offset, width, value)
                return
            if injected.fault.what is What.WRITE_LOST:
                return
        self.inner.write(offset, width, value)

    def mmap_source(self) -> None:
        """Nothing to map: every access has to be seen."""
        return

    def pread_source(self) -> None:
        """No file for others to go by, likewise."""
        return

    def _removed(self, offset: int, width: int, value: int | None = None) -> int:
        how = self._faults.reads_when_removed
        if self.info.index == CONFIG_REGION:
            how = "ones"
        if how == "fault":
            raise self._fault(offset, width, value)
        return (1 << 8 * width) - 1 if how == "ones" else 0

    def _fault(self, offset: int, width: int, value: int | None = None) -> AccessFault:
        kind = "read" if value is None else "write"
        return AccessFault(
            f"{self._device.name} {self.info.name}: {kind} of {width} bytes at {offset:#x} failed "
            f"({_INJECTED})",
            region=self.info.name,
            offset=offset,
            width=width,
            is_write=value is not None,
            value=value,
        )


class FaultyDma(_InFront, DmaInFront):
    """A DmaHandle in front of that of the device."""

    OWN = frozenset({"inner"})

    def __init__(self, inner: DmaHandle, device: FaultyDevice) -> None:
        DmaInFront.__init__(self, inner)
        self._device = device

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Map memory, or refuse to."""
        if self._device.faults.decide(Event(EventKind.MAP, iova=iova, size=size)):
            raise DmaError(f"{self._device.name}: mapping {size:#x} bytes failed: {_INJECTED}")
        self.inner.map(iova, size, address=address, fd=fd, fd_offset=fd_offset)

    def unmap(self, iova: Iova, size: int) -> None:
        """Take memory away, or fail to."""
        if self._device.faults.decide(Event(EventKind.UNMAP, iova=iova, size=size)):
            raise DmaError(f"{self._device.name}: unmapping {size:#x} bytes failed: {_INJECTED}")
        self.inner.unmap(iova, size)


class FaultyIrq:
    """An IrqHandle in front of that of the device; its interrupts come through ``Later``."""

    def __init__(self, inner: IrqHandle, device: FaultyDevice) -> None:
        self.inner = inner
        self._device = device
        self._fds: dict[IrqKind, list[int]] = {}

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors of this kind the device has."""
        return self.inner.count(kind)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver interrupts, as many as do not get lost."""
        event = Event(EventKind.ENABLE, irq=kind, size=len(eventfds))
        if self._device.faults.decide(event):
            self.disable(kind)
            raise VectorsExhausted(
                f"{self._device.name}: no {kind} vectors: {_INJECTED}", possible=0
            )
        later = self._device.later
        former = self._fds.get(kind, [])
        fds = later.wire(kind, eventfds)
        try:
            self.inner.enable(kind, fds)
        except BaseException:
            later.unwire(fds)
            self._drop(kind)
            raise
        self._fds[kind] = fds
        later.unwire(former)

    def disable(self, kind: IrqKind) -> None:
        """Deliver nothing of this kind any more."""
        self.inner.disable(kind)
        self._drop(kind)

    def unmask_intx(self) -> None:
        """Let the next INTx through."""
        self.inner.unmask_intx()

    def _drop(self, kind: IrqKind) -> None:
        self._device.later.unwire(self._fds.pop(kind, []))
