"""What a check may ask of a device, whatever kind of device it is."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pymmio.device import Device
from pymmio.dma import DmaBuffer
from pymmio.errors import DeviceTimeout
from pymmio.handle import IrqKind
from pymmio.irq import Interrupt
from pymmio.mmio import Region
from pymmio.testing.contract.check import Ability

__all__ = ["Echo", "Exerciser", "Fixed", "Poll"]

_MOST_EVENTS = 100
QUIET_S = 0.05
"""After this time without one, no interrupt of what was done before is expected any more."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A register that always reads the same under the mask."""

    region: int
    offset: int
    width: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Echo:
    """A register that tells what was written: the bits of ``mask``, perhaps turned around."""

    region: int
    offset: int
    width: int
    mask: int
    is_inverted: bool = False

    def shows(self, written: int) -> int:
        """Return what reads after a write, under the mask."""
        return (~written if self.is_inverted else written) & self.mask


@dataclass(frozen=True, slots=True)
class Poll:
    """What to wait for: 32 bits of a region under a mask."""

    region: int
    offset: int
    mask: int
    value: int


class Exerciser(abc.ABC):
    """Makes a device show what a backend does; one for each kind of device.

    Registers and structures are literals of the device's specification.  ``start`` comes before
    memory accesses and interrupts of the device, and after the interrupts were switched on.
    """

    abilities: ClassVar[frozenset[Ability]]
    fixed: ClassVar[Sequence[Fixed]]
    echoes: ClassVar[Sequence[Echo]]
    scratch: ClassVar[Sequence[int]] = ()  #: regions that keep what is written, in all widths
    address_bits: ClassVar[int] = 64
    unit: ClassVar[int] = 512  #: sizes of transfers are multiples of it
    limit: ClassVar[int] = 4096  #: and not larger

    def __init__(self, device: Device, patience_s: float) -> None:
        self.device = device
        self.patience_s = patience_s

    # --- registers -----------------------------------------------------------------------

    @property
    def bar(self) -> Region:
        """The region of the registers."""
        return self.device.region(self.fixed[0].region)

    @abc.abstractmethod
    def identify(self) -> None:
        """Fail unless configuration space says that it is such a device."""

    def prove(self) -> None:
        """Fail unless the device answers: what is fixed reads so."""
        for one in self.fixed:
            value = self.device.region(one.region).read(one.offset, one.width)
            assert value & one.mask == one.value, (
                f"{one.width} bytes at {one.offset:#x} of region {one.region} read {value:#x}; "
                f"{one.value:#x} is expected under the mask {one.mask:#x}"
            )

    def echo(self, echo: Echo, value: int, *, region: Region | None = None) -> None:
        """Write to a register and fail unless it shows that."""
        value &= echo.mask
        bar = self.device.region(echo.region) if region is None else region
        bar.write(echo.offset, echo.width, value)
        seen = bar.read(echo.offset, echo.width) & echo.mask
        assert seen == echo.shows(value), (
            f"{value:#x} was written in {echo.width} bytes at {echo.offset:#x}; "
            f"it reads {seen:#x} instead of {echo.shows(value):#x}"
        )

    @abc.abstractmethod
    def make_unlike_new(self) -> None:
        """Change a state that a reset takes away."""

    @abc.abstractmethod
    def is_like_new(self) -> bool:
        """Whether that state is the one after power-on."""

    # --- polling ---------------------------------------------------------------------------

    @abc.abstractmethod
    def never(self) -> Poll:
        """Return what will not happen."""

    def work(self) -> Poll:
        """Have the device begin something, return what to wait for."""
        raise NotImplementedError

    def worked(self) -> None:
        """Fail unless what :meth:`work` began has its result."""
        raise NotImplementedError

    # --- memory ------------------------------------------------------------------------------

    def alloc(self, size: int, *, align: int | None = None) -> DmaBuffer:
        """Allocate memory that the device can address."""
        return self.device.dma.alloc(size, align=align, address_bits=self.address_bits)

    def start(self, vectors: int = 0) -> None:
        """Let the device access memory, and use so many interrupt vectors."""
        raise NotImplementedError

    def stop(self) -> None:
        """Have the device do nothing more by itself; it may be started again."""
        return

    def fetch(self, iova: int, size: int) -> bool:
        """Have the device read memory and keep it; return whether it says that it has."""
        raise NotImplementedError

    def store(self, iova: int, size: int) -> bool:
        """Have the device write what it keeps to memory; return whether it says that it has."""
        raise NotImplementedError

    # --- interrupts ----------------------------------------------------------------------------

    def kinds(self) -> list[IrqKind]:
        """Return the kinds of interrupts that the device has."""
        kinds = (IrqKind.MSIX, IrqKind.MSI, IrqKind.INTX)
        return [kind for kind in kinds if len(self.device.irqs.of_kind(kind))]

    def message_kinds(self) -> list[IrqKind]:
        """Return those of them that are messages."""
        return [kind for kind in self.kinds() if kind is not IrqKind.INTX]

    def usable(self, kind: IrqKind) -> int:
        """Return how many vectors of a kind the exerciser can raise."""
        return min(1, len(self.device.irqs.of_kind(kind)))

    def fire(self, vector: int = 0) -> None:
        """Have the device raise an interrupt."""
        raise NotImplementedError

    def acknowledge(self, vector: int = 0) -> None:
        """Tell the device that its interrupt was seen."""
        raise NotImplementedError

    def begin(self, kind: IrqKind, vectors: int = 1) -> list[Interrupt]:
        """Switch interrupts on, start, and return vectors that nothing is under way for."""
        found = list(self.device.irqs.of_kind(kind).enable(vectors))
        self.start(vectors)
        for interrupt in found:
            drain(interrupt)
        return found


def drain(interrupt: Interrupt, quiet_s: float = QUIET_S) -> int:
    """Take events until none comes any more; return how many there were."""
    events = 0
    for _ in range(_MOST_EVENTS):
        try:
            came = interrupt.wait(timeout_s=quiet_s)
            assert came > 0, f"a wait for {interrupt.name} returned {came} events"
            events += came
        except DeviceTimeout:
            return events
    raise AssertionError(f"{interrupt.name} does not come to rest: {events} events")
