"""A device: its regions, configuration space, DMA memory and interrupts, with one life."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from pymmio import forks
from pymmio.arch import current
from pymmio.backend import open_handle
from pymmio.dma import DmaSpace
from pymmio.errors import (
    Closed,
    DeviceNotFound,
    ForkedObject,
    PymmioError,
    Unsupported,
)
from pymmio.handle import CONFIG_REGION, Access, DeviceHandle, MappedArea, RegionInfo
from pymmio.irq import Interrupts
from pymmio.mmio import (
    PCI,
    AccessRule,
    HandleRegion,
    MappedRegion,
    Mapping,
    Region,
    SparseRegion,
    TracedRegion,
)
from pymmio.pci import BarKind, Command, ConfigSpace
from pymmio.policy import authorise
from pymmio.trace import Sink
from pymmio.uri import DeviceUri

__all__ = ["Device", "open_device"]

CONFIG_RULE = AccessRule(widths=frozenset({1, 2, 4}), device_widths=frozenset({1, 2, 4}))


def open_device(
    uri: str | DeviceUri,
    *,
    access: str | Access = Access.AUTO,
    trace: Sink | None = None,
    share_dma_with: Device | None = None,
) -> Device:
    """Open the device that ``uri`` names.

    ``access`` forces the way of single accesses: "mapped", "mio", "syscall", "pread" or
    "message"; "auto" takes the best that each region offers.  ``trace`` is called with an
    AccessEvent for each access.  ``share_dma_with`` is an open device of the same backend: both
    then have one address space, so that a buffer of either has the same iova for both; it stays
    mapped until it, or the last of the devices, is closed.

    Side effects: the policy is asked first; then the backend takes the device, and decoding is
    switched on (COMMAND.MEM; COMMAND.IO where it has ports).

    Raises UriError, PolicyRefused, DeviceNotFound, DeviceBusy, PermissionRefused,
    Unsupported; what was acquired until then is given back.
    """
    parsed = DeviceUri.parse(uri) if isinstance(uri, str) else uri
    try:
        way = Access(access)
    except ValueError:
        raise Unsupported(
            f"access={access!r} is no way of access",
            hint=f"Choose from {', '.join(Access)}",
        ) from None
    authorise(parsed)
    if share_dma_with is None:
        handle, dma = open_handle(parsed), None
    else:
        share_dma_with._require_open()
        handle = open_handle(parsed, share_dma_with=share_dma_with.handle)
        dma = share_dma_with.dma
    with ExitStack() as undo:
        undo.callback(handle.close)
        device = Device(parsed, handle, access=way, trace=trace, shared_dma=dma)
        undo.pop_all()
    return device


class Device:
    """An open device.  Close it, or use it in a ``with`` statement.

    Closing undoes everything in the order that is safe for memory: bus mastering off,
    interrupts off, DMA memory taken away (with the last device that shares it), regions unmapped,
    the device given back.
    """

    def __init__(
        self,
        uri: DeviceUri,
        handle: DeviceHandle,
        *,
        access: Access = Access.AUTO,
        trace: Sink | None = None,
        shared_dma: DmaSpace | None = None,
    ) -> None:
        """Not for callers: use :func:`open_device`."""
        self.uri = uri
        self.name = handle.name
        self.handle = handle
        self._access = access
        self._trace = trace
        self._state = "open"
        self._lock = threading.RLock()
        self._infos = {info.index: info for info in handle.region_infos()}
        self._opened: dict[int, Region] = {}
        self._by_rule: dict[tuple[int, AccessRule], Region] = {}
        self._enabled_master = False
        with ExitStack() as undo:
            config_region = self._open_region(CONFIG_REGION, CONFIG_RULE)
            undo.callback(config_region.close)
            self.config = ConfigSpace(config_region)
            self._decoding = Command.MEMORY
            if any(bar.kind is BarKind.IO for bar in self.config.bars()):
                self._decoding |= Command.IO
            before = self.config.update_command(on=self._decoding)
            undo.callback(self.config.update_command, off=self._decoding & ~before)
            self.irqs = Interrupts(handle.irq, name=self.name)
            undo.callback(self.irqs.close)
            if shared_dma is None:
                self.dma = DmaSpace(handle.dma, name=self.name)
            else:
                shared_dma.join()
                self.dma = shared_dma
            undo.pop_all()
        forks.track(self)

    # --- regions -----------------------------------------------------------------------

    @property
    def regions(self) -> MappingType[int, RegionInfo]:
        """The regions that exist, by index: 0 to 5 are BARs, 6 the ROM, 7 config space."""
        return dict(self._infos)

    def region(self, index: int, *, rule: AccessRule | None = None) -> Region:
        """Return region ``index``, mapped if it may be, else by system call or message.

        The same object comes for the same index and rule.  Raises DeviceNotFound where the
        device has no such region, Unsupported where the forced way is not possible.
        """
        with self._lock:
            self._require_open()
            asked = rule or self._default_rule(index)
            key = (index, asked)
            if key not in self._by_rule:
                whole = self._opened.get(index)
                if whole is None:
                    self._by_rule[key] = self._open_region(index, asked)
                else:  # reached already, under another rule
                    self._by_rule[key] = whole.window(0, whole.size, name=whole.name, rule=asked)
            return self._by_rule[key]

    def _default_rule(self, index: int) -> AccessRule:
        if index == CONFIG_REGION:
            return CONFIG_RULE
        info = self._infos.get(index)
        return AccessRule(ram_like=True) if info is not None and info.is_ram else PCI

    def _open_region(self, index: int, rule: AccessRule) -> Region:
        info = self._infos.get(index)
        if info is None:
            raise DeviceNotFound(
                f"{self.name} has no region {index}",
                hint=f"It has {', '.join(f'{i.index} ({i.name})' for i in self._infos.values())}",
            )
        region = self._reach(info, rule)
        if self._trace is not None:
            region = TracedRegion(region, self._trace)
        self._opened[index] = region
        return region

    def _reach(self, info: RegionInfo, rule: AccessRule) -> Region:
        """Open a region the way that was asked for, or the best that it offers."""
        handle = self.handle.open_region(info.index)
        name = f"{self.name} {info.name}"
        calls = Access.PREAD if handle.pread_source() is not None else Access.MESSAGE
        rest = HandleRegion(handle, access=calls, name=name, rule=rule)
        way = self._access if info.index != CONFIG_REGION else Access.AUTO
        source = handle.mmap_source() if info.mappable and current().has_accessors else None
        is_whole = info.mappable == (MappedArea(0, info.size),)
        if way is Access.MAPPED and (source is None or not is_whole):
            raise self._refused(info, way, calls)
        if way in (Access.AUTO, Access.MAPPED) and source is not None:
            return self._map(info, name, source, rest)
        if way not in (Access.AUTO, calls):
            raise self._refused(info, way, calls)
        return rest

    def _map(
        self, info: RegionInfo, name: str, source: tuple[int, int], rest: HandleRegion
    ) -> Region:
        fd, start = source
        areas: list[tuple[int, MappedRegion]] = []
        with ExitStack() as undo:
            for part in info.mappable:
                mapping = Mapping.of_file(
                    fd, start + part.offset, part.size, name, writable=info.writable
                )
                undo.callback(mapping.close)
                areas.append((part.offset, MappedRegion(mapping, rule=rest.rule)))
            undo.pop_all()
        if info.mappable == (MappedArea(0, info.size),):
            return areas[0][1]
        return SparseRegion(rest, areas)

    def _refused(self, info: RegionInfo, way: Access, calls: Access) -> Unsupported:
        offers = [str(calls)]
        if info.mappable:
            parts = ", ".join(f"{a.offset:#x}+{a.size:#x}" for a in info.mappable)
            offers.append(f"mapped ({parts} of {info.size:#x})")
        return Unsupported(
            f"{self.name}: {info.name} cannot be reached by access={str(way)!r}",
            hint=f"It offers {' and '.join(offers)}; {current().name} does {current().mmio}",
        )

    # --- the function as a whole ---------------------------------------------------------

    def enable_bus_master(self) -> None:
        """Let the device make DMA accesses and send MSIs (COMMAND.BUS_MASTER)."""
        self._require_open()
        before = self.config.update_command(on=Command.BUS_MASTER)
        self._enabled_master = self._enabled_master or not before & Command.BUS_MASTER

    def disable_bus_master(self) -> None:
        """Keep the device from any DMA access; does not wait for those under way."""
        self._require_open()
        self.config.update_command(off=Command.BUS_MASTER)

    def reset(self) -> None:
        """Reset the function, then switch decoding on again.

        Registers lose their state and bus mastering is off.  Raises Unsupported, with the
        reason, where the device offers no reset.
        """
        with self._lock:
            self._require_open()
            self.handle.reset()
            self.config.update_command(on=self._decoding)

    @property
    def closed(self) -> bool:
        """Whether the device cannot be used any more."""
        return self._state != "open"

    def _require_open(self) -> None:
        if self._state == "forked":
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device after fork"
            )
        if self._state != "open":
            raise Closed(f"{self.name} is closed", hint="Open the device again")

    def close(self) -> None:
        """Give everything back, all of it even where a step fails; closing twice is fine.

        Raises the first failure at the end, with the others as its notes.
        """
        with self._lock:
            if self._state != "open":
                return
            self._state = "closed"
        steps: list[Callable[[], object]] = [
            lambda: self.config.update_command(off=Command.BUS_MASTER),
            self.irqs.close,
            self.dma.leave,
            *(region.close for region in reversed(self._opened.values())),
            self.handle.close,
        ]
        first: BaseException | None = None
        for step in steps:
            try:
                step()
            except (PymmioError, OSError, BufferError) as error:
                if first is None:
                    first = error
                else:
                    first.add_note(f"then, while closing {self.name}: {error}")
        if first is not None:
            raise first

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        if self._state == "open":
            self._state = "forked"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Device {self.uri}{'' if self._state == 'open' else ', ' + self._state}>"
