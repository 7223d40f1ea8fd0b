"""Faults above the backends, in what all of them share: the contract notices these as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from pymmio import device as device_module
from pymmio import device_regions as regions_module
from pymmio import forks
from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.device_regions import DeviceRegions
from pymmio.dma.allocation import Allocation
from pymmio.dma.buffer import DmaBuffer
from pymmio.dma.memory import SharedMemory
from pymmio.dma.space import DmaSpace
from pymmio.errors import AccessFault
from pymmio.handle import Access
from pymmio.irq.interrupt import Interrupt
from pymmio.irq.vectors import Interrupts, VectorSet
from pymmio.mmio import HandleRegion, MappedRegion, Region, TracedRegion
from pymmio.mmio import region as region_module
from pymmio.mmio.access import AccessRule, plan
from pymmio.mmio.doorbell import Doorbell
from pymmio.mmio.mapping import Mapping
from pymmio.uri import DeviceUri
from tests.contract.broken.handle import BrokenHandle, fault


def _patching(*patches: tuple[object, str, Any]) -> Any:
    @classmethod  # type: ignore[misc]
    @contextmanager
    def patched(cls: type[BrokenHandle]) -> Iterator[None]:
        with ExitStack() as stack:
            for target, name, value in patches:
                stack.enter_context(mock.patch.object(target, name, value))
            yield

    return patched


def _lenient_plan(rule: AccessRule, offset: int, width: int, size: int, **more: Any) -> Any:
    try:
        return plan(rule, offset, width, size, **more)
    except Exception:
        return ((max(0, min(offset, size - width)) // width * width, min(width, 8) or 1),)


@fault
class AccessesAreNotChecked(BrokenHandle):
    patched = _patching((region_module, "plan", _lenient_plan))


@fault
class BlocksAreNotChecked(BrokenHandle):
    patched = _patching(
        (Region, "_check_block", lambda *args, **kw: None),
        (HandleRegion, "_load", lambda *args: 0),
        (HandleRegion, "_store", lambda *args: None),
    )


def _reversed_plan(*args: Any, **kw: Any) -> Any:
    return tuple(reversed(plan(*args, **kw)))


@fault
class PiecesAreReversed(BrokenHandle):
    patched = _patching((region_module, "plan", _reversed_plan))


@fault
class PiecesAreBytes(BrokenHandle):
    """Split accesses lose their upper half."""

    patched = _patching((Region, "_shift", lambda *args: 0))


def _default_rule(self: Device, index: int, *, rule: Any = None) -> Any:
    return _REGION(self, index)


_REGION = Device.region


@fault
class RulesAreIgnored(BrokenHandle):
    patched = _patching((Device, "region", _default_rule))


def _fresh_region(self: Device, index: int, *, rule: Any = None) -> Any:
    region = _REGION(self, index, rule=rule)
    return region.window(0, region.size, rule=region.rule)


@fault
class RegionsAreNew(BrokenHandle):
    patched = _patching((Device, "region", _fresh_region))


def _any_region(self: Device, index: int, *, rule: Any = None) -> Any:
    known = index if index in self.regions else 7
    return _REGION(self, known, rule=rule)


@fault
class AnyRegionIsThere(BrokenHandle):
    patched = _patching((Device, "region", _any_region))


def _whole(self: Any, offset: int, size: int, *, name: Any = None, rule: Any = None) -> Any:
    return _WINDOW(self, 0, self.size, name=name, rule=None)


_WINDOW = HandleRegion.window


@fault
class WindowsAreWholes(BrokenHandle):
    patched = _patching((HandleRegion, "window", _whole))


@fault
class DeviceMemoryIsBytes(BrokenHandle):
    patched = _patching((Region, "view", lambda self: memoryview(bytearray(self.size))))


@fault
class FlushesAreElsewhere(BrokenHandle):
    patched = _patching((Region, "flush_writes", lambda self, offset=0: self.read32(self.size)))


@fault
class PollsReturnAtOnce(BrokenHandle):
    patched = _patching(
        (Region, "_wait", lambda self, offset, width, *rest: self.read(offset, width))
    )


def _wait_twice(self: Any, offset: int, width: int, *rest: Any) -> int:
    self.read(0, 8)
    return _WAIT(self, offset, width, *rest)


_WAIT = Region._wait


@fault
class PollsReadMore(BrokenHandle):
    patched = _patching((Region, "_wait", _wait_twice))


def _stubborn_wait(self: Any, offset: int, width: int, *rest: Any) -> int:
    while True:
        try:
            return _WAIT(self, offset, width, *rest)
        except BaseException as error:
            if type(error).__name__ != "_Signalled":
                raise


@fault
class PollsIgnoreSignals(BrokenHandle):
    patched = _patching((Region, "_wait", _stubborn_wait))


@fault
class DoorbellsDoNothing(BrokenHandle):
    patched = _patching((Doorbell, "deliver", lambda self: None))


@fault
class DoorbellsRingTwice(BrokenHandle):
    patched = _patching(
        (Doorbell, "ring", lambda self, value: [_RING(self, value) for _ in range(2)])
    )


_RING = Doorbell.ring


@fault
class DoorbellsOutliveTheDevice(BrokenHandle):
    patched = _patching(
        (Doorbell, "close", lambda self: None), (Doorbell, "deliver", lambda self: None)
    )


@fault
class WaysAreIgnored(BrokenHandle):
    is_tolerant = True

    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        def reach(self: DeviceRegions, info: Any, rule: Any) -> Any:
            self._access = Access.AUTO
            return _REACH(self, info, rule)

        with mock.patch.object(DeviceRegions, "_reach", reach):
            yield


_REACH = DeviceRegions._reach


@fault
class ConfigurationIsForced(BrokenHandle):
    """A forced way is for configuration space as well."""

    patched = _patching((regions_module, "CONFIG_REGION", -1))


@fault
class DmaMemoryIsDirty(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        made = SharedMemory.__init__

        def init(self: SharedMemory, size: int, *, hugepages: bool = False) -> None:
            made(self, size, hugepages=hugepages)
            self._mapping[size - 1] = 1

        with mock.patch.object(SharedMemory, "__init__", init):
            yield


@fault
class DmaMemoryIsFreedInUse(BrokenHandle):
    patched = _patching(
        (Allocation, "hold", lambda self: None),
        (Allocation, "release", lambda self: None),
        (Allocation, "seal", Allocation.abandon),
    )


@fault
class PartsCloseTheWhole(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        def release_piece(self: Allocation, piece: memoryview) -> None:
            self.abandon()

        with mock.patch.object(Allocation, "release_piece", release_piece):
            yield


@fault
class PartsAreCut(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        item = DmaBuffer.__getitem__

        def cut(self: DmaBuffer, part: slice) -> DmaBuffer:
            return item(self, slice(*part.indices(len(self))[:2]))

        with mock.patch.object(DmaBuffer, "__getitem__", cut):
            yield


@fault
class PartsHaveTheAddressOfTheWhole(BrokenHandle):
    patched = _patching((DmaBuffer, "iova", property(lambda self: self._allocation.iova)))


@fault
class MemoryCanBeCutAway(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        with mock.patch("pymmio.dma.memory.fcntl.fcntl"):
            yield


@fault
class AddressesAreWrong(BrokenHandle):
    patched = _patching((DmaBuffer, "fd_offset", property(lambda self: self._offset + 8)))


@fault
class AlignmentIsIgnored(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        alloc = DmaSpace.alloc

        def unaligned(self: DmaSpace, size: int, **asked: Any) -> DmaBuffer:
            return alloc(self, size, hugepages=asked.get("hugepages", False))

        with mock.patch.object(DmaSpace, "alloc", unaligned):
            yield


@fault
class ForgottenMemoryIsFreed(BrokenHandle):
    patched = _patching((DmaBuffer, "__del__", lambda self: self.close()))


@fault
class HugePagesFailWithoutAHint(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        from pymmio.errors import DmaError

        alloc = DmaSpace.alloc

        def refusing(self: DmaSpace, size: int, **asked: Any) -> DmaBuffer:
            if asked.get("hugepages"):
                raise DmaError("no")
            return alloc(self, size, **asked)

        with mock.patch.object(DmaSpace, "alloc", refusing):
            yield


@fault
class KindsDoNotExclude(BrokenHandle):
    patched = _patching((Interrupts, "_require_alone", lambda self, kind: None))


@fault
class MissingKindsAreSilent(BrokenHandle):
    patched = _patching(
        (VectorSet, "_require_vectors", lambda self: None),
        (VectorSet, "__getitem__", lambda self, index: None),
    )


@fault
class NoTimeIsTooShort(BrokenHandle):
    patched = _patching((Interrupt, "wait", lambda self, timeout_s: self.try_take()))


@fault
class WaitersAreNotWoken(BrokenHandle):
    patched = _patching((Interrupt, "_end", lambda self, why=None: None))


@fault
class CancelledEventsAreLost(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        with (
            mock.patch.object(Interrupt, "_put_back", return_value=None),
            mock.patch.object(Interrupt, "wait_async", _forgetful),
        ):
            yield


async def _forgetful(self: Interrupt, *, timeout_s: float | None = None) -> int:
    import asyncio

    try:
        return await _WAIT_ASYNC(self, timeout_s=timeout_s)
    except asyncio.CancelledError:
        self.try_take()
        raise


_WAIT_ASYNC = Interrupt.wait_async


@fault
class EverybodyGetsTheEvent(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        from pymmio.irq.eventfd import EventFd

        take = EventFd.try_take

        def keep(self: EventFd) -> int:
            events = take(self)
            if events:
                self.signal(events)
            return events

        with mock.patch.object(EventFd, "try_take", keep):
            yield


@fault
class AddingAVectorReplacesOthers(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        switch_on = VectorSet._switch_on

        def replacing(self: VectorSet, indices: Any) -> Any:
            self._enabled = [None] * len(self._enabled)
            return switch_on(self, indices)

        with mock.patch.object(VectorSet, "_switch_on", replacing):
            yield


@fault
class NobodyIsTrackedOverForks(BrokenHandle):
    patched = _patching(
        (device_module.forks, "track", lambda thing: None),
        (forks, "track", lambda thing: None),
    )


@fault
class PollersAreNotTurnedAway(BrokenHandle):
    patched = _patching(
        (HandleRegion, "close", lambda self: None),
        (Mapping, "refuse", lambda self, why=None: None),
    )


@fault
class ClosingTwiceFails(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        close = Device.close

        def strict(self: Device, timeout_s: float = 30.0) -> None:
            if self.closed:
                raise ValueError("closed already")
            close(self, timeout_s)

        with mock.patch.object(Device, "close", strict):
            yield


@fault
class ExceptionsKeepTheDevice(BrokenHandle):
    patched = _patching(
        (Device, "__exit__", lambda self, kind, *rest: None if kind else self.close())
    )


@fault
class ViewsDieWithTheDevice(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        abandon = Allocation.abandon

        def clear(self: Allocation) -> None:
            self.memory._mapping[:] = bytes(self.size)
            abandon(self)

        with mock.patch.object(Allocation, "abandon", clear):
            yield


@fault
class ThePolicyIsNotAsked(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        with mock.patch("tests.contract.broken.handle.authorise"):
            yield


@fault
class ErrorsDoNotTellWhere(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        from pymmio.errors import OutOfBounds

        def vague(*args: Any, **kw: Any) -> Any:
            try:
                return plan(*args, **kw)
            except OutOfBounds:
                raise OutOfBounds("no") from None

        with mock.patch.object(region_module, "plan", vague):
            yield


@fault
class TimeOutsAreRemovals(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        from pymmio.errors import DeviceGone

        with mock.patch.object(Region, "_timed_out", return_value=DeviceGone("gone?")):
            yield


@fault
class TimeOutsDoNotTellTheValue(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        from pymmio.errors import DeviceTimeout

        with mock.patch.object(Region, "_timed_out", return_value=DeviceTimeout("late")):
            yield


@fault
class EventsAreLost(BrokenHandle):
    patched = _patching((TracedRegion, "_tell", lambda self, *rest: None))


_READ64 = TracedRegion.read64


def _read_again(self: TracedRegion, offset: int, order: Any = None) -> int:
    self.inner.read64(offset, order)
    return _READ64(self, offset, order)


@fault
class TracingReadsAgain(BrokenHandle):
    patched = _patching((TracedRegion, "read64", _read_again))


@fault
class TracingChangesValues(BrokenHandle):
    patched = _patching((TracedRegion, "read", lambda self, offset, width: 0))


@fault
class EventsHaveNoTime(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        import itertools

        down = itertools.count(1 << 40, -1)
        with mock.patch("pymmio.mmio.traced.time.monotonic_ns", side_effect=down):
            yield


@fault
class SharedMemoryGoesWithItsDevice(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        with mock.patch.object(DmaSpace, "leave", DmaSpace.close):
            yield


@fault
class ClosedDevicesShare(BrokenHandle):
    patched = _patching((Device, "_require_open", lambda self: None), (DmaSpace, "join", print))

    @classmethod
    def open(cls, uri: DeviceUri, share_dma_with: SimHandle | None = None) -> SimHandle:
        return super().open(uri)


@fault
class SideEffectsAreIgnored(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        def flush(self: Region, offset: int = 0) -> None:
            self.read32(offset)

        with mock.patch.object(Region, "flush_writes", flush):
            yield


@fault
class VectorsAreNotCounted(BrokenHandle):
    @classmethod
    @contextmanager
    def patched(cls) -> Iterator[None]:
        take = VectorSet.__getitem__

        def first(self: VectorSet, index: int) -> Interrupt:
            return take(self, 0 if len(self) else index)

        with mock.patch.object(VectorSet, "__getitem__", first):
            yield


@fault
class ViewsAreCopies(BrokenHandle):
    patched = _patching((MappedRegion, "view", lambda self: memoryview(bytearray(self.size))))


def _fault_if_closed(self: HandleRegion) -> None:
    if self.closed:
        raise AccessFault("nothing there")


@fault
class ClosedIsAFault(BrokenHandle):
    patched = _patching((HandleRegion, "_require_open", _fault_if_closed))
