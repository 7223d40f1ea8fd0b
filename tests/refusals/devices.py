"""Regions of real devices, in one way of access."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pymmio
from pymmio.errors import AccessFault
from pymmio.handle import Access
from pymmio.mmio import MappedRegion, Mapping, Region
from tests.refusals.table import State, is_cause

MEM = 1 << 1  # PCI Local Bus 3.0 §6.2.2: COMMAND, memory space


@dataclass
class DeviceBench:
    """A BAR that is memory, so that nothing happens when it is read."""

    uri: str
    bar: int
    access: Access
    states: frozenset[State] = frozenset(State)
    name: str = ""
    _open: list[Region] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = f"{self.uri} by {self.access}"
        if self.access is Access.PREAD:
            self.states -= {State.READ_ONLY}  # VFIO offers no region of this device so

    @contextmanager
    def region(self, state: State) -> Iterator[Region]:
        """Open the device; what is changed is changed back."""
        with pymmio.open_device(self.uri, access=self.access.value) as device:
            if state is State.READ_ONLY:
                source = device.handle.open_region(self.bar).mmap_source()
                assert source is not None
                size = device.regions[self.bar].size
                with MappedRegion(
                    Mapping.of_file(*source, size, "BAR", writable=False, access=self.access)
                ) as mapped:
                    self._open = [mapped]
                    yield mapped
                return
            region = device.region(self.bar)
            assert region.access is self.access
            self._open = [region] if state is State.GOOD else []
            if state is State.GONE:
                device.config.update_command(off=MEM)
            if state is State.CLOSED:
                device.close()
            yield region

    def is_cause(self, error: AccessFault) -> bool:
        """Whether it is that of the way; the message names the cause in configuration space."""
        return is_cause(self.access, error)

    def memory(self) -> object:
        """Return the first bytes, where they can be read."""
        return [region.read_block(0, 64, width=4) for region in self._open]
