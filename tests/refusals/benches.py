"""Regions over files and models, each in the states that it can be in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pymmio.errors import AccessFault
from pymmio.handle import Access, RegionInfo
from pymmio.mmio import HandleRegion, MappedRegion, Mapping, Region, SparseRegion, TracedRegion
from tests.refusals.table import State, is_cause
from tests.unit.backend.sim.rig import make_device
from tests.unit.mmio.recorder import Recorder

SIZE = 8192


@dataclass
class FileBench:
    """A mapping of a file, in the way that mappings have by default or the one given."""

    name: str = "mapped"
    access: Access | None = None
    wrap: Callable[[MappedRegion], Region] = lambda region: region
    states: frozenset[State] = frozenset(State)
    _fd: int = -1
    _way: Access = Access.MAPPED

    @contextmanager
    def region(self, state: State) -> Iterator[Region]:
        """Map a fresh file."""
        self._fd = os.memfd_create("bar")
        try:
            os.truncate(self._fd, SIZE)
            chosen = {} if self.access is None else {"access": self.access}
            mapping = Mapping.of_file(
                self._fd, 0, SIZE, "BAR0", writable=state is not State.READ_ONLY, **chosen
            )  # type: ignore[call-overload,unused-ignore]
            mapped = MappedRegion(mapping)
            self._way = mapped.access
            with self.wrap(mapped) as region:
                if state is State.GONE:
                    os.truncate(self._fd, 0)
                if state is State.CLOSED:
                    region.close()
                yield region
        finally:
            os.close(self._fd)

    def is_cause(self, error: AccessFault) -> bool:
        """Whether it is that of the way."""
        return is_cause(self._way, error)

    def memory(self) -> object:
        """Return the file's bytes."""
        return os.pread(self._fd, SIZE, 0)


@dataclass
class CallBench:
    """A region whose accesses are calls: messages, pread."""

    name: str = "called"
    states: frozenset[State] = frozenset({State.GOOD, State.READ_ONLY, State.CLOSED})
    _recorder: Recorder = field(default_factory=Recorder)

    @contextmanager
    def region(self, state: State) -> Iterator[Region]:
        """Make a region over a recorder."""
        self._recorder = Recorder(writable=state is not State.READ_ONLY)
        self._recorder.info = RegionInfo(0, "BAR0", SIZE, writable=state is not State.READ_ONLY)
        self._recorder.memory = bytearray(SIZE)
        with HandleRegion(self._recorder, access=Access.MESSAGE) as region:
            if state is State.CLOSED:
                region.close()
            yield region

    def is_cause(self, error: AccessFault) -> bool:
        """Nothing fails here."""
        return False

    def memory(self) -> object:
        """Return the bytes, and how many writes arrived."""
        writes = [kind for kind, *_ in self._recorder.accesses if kind == "write"]
        return bytes(self._recorder.memory), len(writes)


@dataclass
class SparseBench(CallBench):
    """The first page by calls, the second mapped."""

    name: str = "sparse"
    states: frozenset[State] = frozenset({State.GOOD, State.CLOSED})

    @contextmanager
    def region(self, state: State) -> Iterator[Region]:
        """Put a mapped page into a region of calls."""
        with super().region(State.GOOD) as rest:
            assert isinstance(rest, HandleRegion)
            area = MappedRegion(Mapping.of_buffer(bytearray(SIZE // 2), "BAR0"))
            with SparseRegion(rest, [(SIZE // 2, area)]) as region:
                if state is State.CLOSED:
                    region.close()
                yield region


@dataclass
class ModelBench:
    """A BAR of a model in this process."""

    name: str = "sim"
    states: frozenset[State] = frozenset({State.GOOD, State.GONE, State.CLOSED})
    _accesses: list[tuple[str, int, int, int]] = field(default_factory=list)

    @contextmanager
    def region(self, state: State) -> Iterator[Region]:
        """Open the model's device."""
        device, model, _ = make_device()
        with device:
            self._accesses = model.accesses
            region = device.region(0)
            if state is State.GONE:
                device.config.update_command(off=1 << 1)  # PCI 3.0 §6.2.2: memory space
            if state is State.CLOSED:
                device.close()
            yield region

    def is_cause(self, error: AccessFault) -> bool:
        """Models say it in words."""
        return "COMMAND is 0x0000" in str(error)

    def memory(self) -> object:
        """Return the writes that reached the model."""
        return [access for access in self._accesses if access[0] == "write"]


def benches() -> list[FileBench | CallBench | ModelBench]:
    """Return all."""
    traced = FileBench("traced", wrap=lambda region: TracedRegion(region, lambda event: None))
    return [FileBench(), traced, CallBench(), SparseBench(), ModelBench()]
