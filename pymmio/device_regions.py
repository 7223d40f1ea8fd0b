"""The regions of a device: opened the best way that there is, turned away and paused together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pymmio.arch import current, pci_ways
from pymmio.device_trace import DeviceTrace
from pymmio.errors import DeviceNotFound, PymmioError, Unsupported
from pymmio.handle import CONFIG_REGION, Access, DeviceHandle, MappedArea, RegionInfo
from pymmio.mmio import (
    PCI,
    AccessRule,
    HandleRegion,
    MappedRegion,
    Mapping,
    Region,
    SparseRegion,
)
from pymmio.mmio.pauses import Pauses

__all__ = ["CONFIG_RULE", "DeviceRegions"]

CONFIG_RULE = AccessRule(widths=frozenset({1, 2, 4}), device_widths=frozenset({1, 2, 4}))


class DeviceRegions:
    """What a device has opened of its regions.  Callers hold the device's lock.

    ``access`` is the way that all but configuration space are reached by.  ``explain`` is asked
    about faults once it is set.
    """

    def __init__(self, name: str, handle: DeviceHandle, access: Access, trace: DeviceTrace) -> None:
        self.infos = {info.index: info for info in handle.region_infos()}
        self.opened: dict[int, Region] = {}
        self.placed: list[tuple[int, int, Mapping]] = []  #: by region and offset in it
        self.called: list[HandleRegion] = []
        self.explain: Callable[[PymmioError], PymmioError] | None = None
        self._name = name
        self._handle = handle
        self._access = access
        self._trace = trace
        self._by_rule: dict[tuple[int, AccessRule], Region] = {}
        self._pauses = Pauses()

    # --- opening -------------------------------------------------------------------------

    def region(self, index: int, rule: AccessRule | None) -> Region:
        """Return a region, the same object for the same index and rule."""
        asked = rule or self._default_rule(index)
        key = (index, asked)
        if key not in self._by_rule:
            whole = self.opened.get(index)
            if whole is None:
                self._by_rule[key] = self.open(index, asked)
            else:  # reached already, under another rule
                self._by_rule[key] = whole.window(0, whole.size, name=whole.name, rule=asked)
        return self._by_rule[key]

    def open(self, index: int, rule: AccessRule) -> Region:
        """Open a region for the first time."""
        info = self.infos.get(index)
        if info is None:
            raise DeviceNotFound(
                f"{self._name} has no region {index}",
                hint=f"It has {', '.join(f'{i.index} ({i.name})' for i in self.infos.values())}",
            )
        region = self._trace.region(index, self._reach(info, rule))
        self.opened[index] = region
        return region

    def _default_rule(self, index: int) -> AccessRule:
        if index == CONFIG_REGION:
            return CONFIG_RULE
        info = self.infos.get(index)
        return AccessRule(ram_like=True) if info is not None and info.is_ram else PCI

    def _reach(self, info: RegionInfo, rule: AccessRule) -> Region:
        """Open a region the way that was asked for, or the best that it offers."""
        handle = self._handle.open_region(info.index)
        name = f"{self._name} {info.name}"
        calls = Access.PREAD if handle.pread_source() is not None else Access.MESSAGE
        # who resets uses configuration space himself: it is not paused
        pauses = self._pauses if info.index != CONFIG_REGION else None
        rest = HandleRegion(
            handle, access=calls, name=name, rule=rule, explain=self.explain, pauses=pauses
        )
        way = self._access if info.index != CONFIG_REGION else Access.AUTO
        source = handle.mmap_source() if info.mappable else None
        offered = _mapped_ways(info) if source is not None else ()
        is_whole = info.mappable == (MappedArea(0, info.size),)
        if way is Access.AUTO:
            wanted = offered[:1]
        else:
            wanted = tuple(w for w in offered if w is way and is_whole)
        if source is not None and wanted:
            region = self._map(info, name, source, rest, wanted[0])
        elif way in (Access.AUTO, calls):
            region = rest
        else:
            raise self._refused(info, way, (calls, *offered))
        self.called.append(rest)
        return region

    def _map(
        self,
        info: RegionInfo,
        name: str,
        source: tuple[int, int],
        rest: HandleRegion,
        access: Access,
    ) -> Region:
        fd, start = source
        areas: list[tuple[int, MappedRegion]] = []
        with ExitStack() as undo:
            for part in info.mappable:
                mapping = Mapping.of_file(
                    fd, start + part.offset, part.size, name, writable=info.writable, access=access
                )
                undo.callback(mapping.close)
                mapping.explain = self.explain
                areas.append((part.offset, MappedRegion(mapping, rule=rest.rule)))
            undo.pop_all()
        self.placed += [(info.index, offset, area.mapping) for offset, area in areas]
        if info.mappable == (MappedArea(0, info.size),):
            return areas[0][1]
        return SparseRegion(rest, areas)

    def _refused(self, info: RegionInfo, way: Access, offered: tuple[Access, ...]) -> Unsupported:
        offers = [str(offered[0])]
        if offered[1:]:
            parts = ", ".join(f"{a.offset:#x}+{a.size:#x}" for a in info.mappable)
            ways = " or ".join(offered[1:])
            offers.append(f"{ways} ({parts} of {info.size:#x})")
        why = _why_not(info, way)
        return Unsupported(
            f"{self._name}: {info.name} cannot be reached by access={str(way)!r}{why}",
            hint=f"It offers {' and '.join(offers)}; {current().name} does {current().mmio}",
        )

    # --- all of them -------------------------------------------------------------------------

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let accesses of other threads wait during the block; not to configuration space."""
        with ExitStack() as undo:
            for _, _, mapping in self.placed:
                mapping.pause()
                undo.callback(mapping.resume)
            undo.enter_context(self._pauses.during())
            yield

    def refuse(self, why: Callable[[], PymmioError]) -> None:
        """Turn everybody away: what is waited for ends.  Configuration space stays."""
        self.turn_away(why)
        for region in self.called:
            if region.handle.info.index != CONFIG_REGION:
                region.refuse(why)

    def turn_away(self, why: Callable[[], PymmioError] | None) -> None:
        """Turn away who uses mappings."""
        for _, _, mapping in self.placed:
            mapping.refuse(why)


def _mapped_ways(info: RegionInfo) -> tuple[Access, ...]:
    """Return how a mapping of the region is accessed here, best first; none: not at all."""
    if info.is_ram:
        return (Access.MAPPED,)
    ways = pci_ways()
    if info.is_pci:
        return ways
    # Instructions and system calls for PCI memory must never meet the memory of another bus.
    return tuple(way for way in ways if way is Access.MAPPED)


def _why_not(info: RegionInfo, way: Access) -> str:
    """Return why a way that needs PCI memory is not there, "" where the hint says it all."""
    if way not in (Access.MIO, Access.SYSCALL):
        return ""
    if current().mmio != "mio":
        return ", which is for s390x"
    if not info.is_pci:
        return ": it is not PCI memory"
    if info.is_ram:
        return ": it is plain memory"
    return "" if way in pci_ways() else ": the processor or the kernel lacks the instructions"
