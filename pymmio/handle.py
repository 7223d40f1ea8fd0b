"""What a backend is: four Protocols (device, region, DMA, interrupt).

A backend says how a device is reached and nothing more.  Rules, bounds, ownership,
IOVA allocation and waiting are the same for all backends and live above it, in
``pymmio.mmio``, ``pymmio.dma``, ``pymmio.irq`` and ``pymmio.device``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol, runtime_checkable

from pymmio.errors import PymmioError

__all__ = [
    "Access",
    "CONFIG_REGION",
    "DeviceHandle",
    "DmaHandle",
    "IrqHandle",
    "IrqKind",
    "Iova",
    "IovaRange",
    "MakesBlocks",
    "MappedArea",
    "Reconnects",
    "RegionHandle",
    "RegionInfo",
    "TellsWhenGone",
]

Iova = NewType("Iova", int)
"""An address as the device sees it (I/O virtual address), in bytes."""

CONFIG_REGION = 7
"""Region index of PCI configuration space; 0 to 5 are the BARs, 6 is the expansion ROM."""


class Access(enum.StrEnum):
    """How single accesses reach a region."""

    AUTO = "auto"  #: the best way that the region offers
    MAPPED = "mapped"  #: one load or store instruction on a mapping
    MIO = "mio"  #: s390x PCI memory I/O instruction on a mapping
    SYSCALL = "syscall"  #: s390x system call on a mapping
    PREAD = "pread"  #: pread and pwrite on a file descriptor
    MESSAGE = "message"  #: handed to a device model, in this process or another


class IrqKind(enum.StrEnum):
    """The kinds of interrupts of a PCI function, and two events of VFIO."""

    INTX = "intx"
    MSI = "msi"
    MSIX = "msix"
    ERR = "err"  #: the device reported an uncorrectable error
    REQ = "req"  #: somebody wants the device back


@dataclass(frozen=True, slots=True)
class MappedArea:
    """A part of a region that may be mapped: offset and size in bytes, page-aligned."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class RegionInfo:
    """What a backend knows about a region before it is opened."""

    index: int
    name: str
    size: int
    readable: bool = True
    writable: bool = True
    mappable: tuple[MappedArea, ...] = ()
    is_pci: bool = True
    is_ram: bool = False  #: plain cached memory behind it: may be viewed as bytes


@dataclass(frozen=True, slots=True)
class IovaRange:
    """Usable I/O virtual addresses, first and last inclusive."""

    first: int
    last: int


class RegionHandle(Protocol):
    """One region of a device.  Offsets and widths were checked before they come here."""

    @property
    def info(self) -> RegionInfo: ...

    def read(self, offset: int, width: int) -> int:
        """Make exactly one read of ``width`` (1, 2, 4, 8) bytes.

        The value is the bytes at the offset taken as a little-endian number.
        """
        ...

    def write(self, offset: int, width: int, value: int) -> None:
        """Make exactly one write of the little-endian bytes of ``value``."""
        ...

    def mmap_source(self) -> tuple[int, int] | None:
        """Return (file descriptor, file offset of the region's byte 0), None if unmappable."""
        ...

    def pread_source(self) -> tuple[int, int] | None:
        """Return (file descriptor, file offset) for pread and pwrite, None where messages rule."""
        ...


class DmaHandle(Protocol):
    """The device's view of memory."""

    @property
    def iova_ranges(self) -> Sequence[IovaRange]: ...

    @property
    def page_size(self) -> int:
        """Smallest mapping and alignment of IOVAs, in bytes."""
        ...

    @property
    def max_mappings(self) -> int:
        """How many mappings may exist at once."""
        ...

    @property
    def pins_memory(self) -> bool:
        """Whether mapped memory counts against RLIMIT_MEMLOCK."""
        ...

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Let the device read and write ``size`` bytes at ``iova``.

        The memory is the shared mapping at ``address`` of the memfd ``fd`` at
        ``fd_offset``.  Raises DmaError with the kernel's reason.
        """
        ...

    def unmap(self, iova: Iova, size: int) -> None:
        """Take a whole former mapping away from the device; returns when that is done."""
        ...


class IrqHandle(Protocol):
    """The interrupts of a device, delivered to eventfds that the caller owns."""

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors of this kind the device has; 0 if none."""
        ...

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver vectors 0, 1, ... to ``eventfds``; replaces what was enabled of this kind.

        A vector whose descriptor is -1 is left out.  Raises VectorsExhausted where the
        machine cannot give as many; then the kind is off.
        """
        ...

    def disable(self, kind: IrqKind) -> None:
        """Deliver no vector of this kind any more; no error if none was enabled.

        Where this fails, vectors may still be delivered until a later call succeeds or the
        handle is closed.
        """
        ...

    def unmask_intx(self) -> None:
        """Let the next INTx through; it is masked each time that it fires."""
        ...


class DeviceHandle(Protocol):
    """A device that a backend has opened."""

    @property
    def name(self) -> str:
        """A short name for messages: a PCI address, or backend and model."""
        ...

    @property
    def dma(self) -> DmaHandle: ...

    @property
    def irq(self) -> IrqHandle: ...

    def region_infos(self) -> Sequence[RegionInfo]:
        """Return the regions that exist (size > 0), CONFIG_REGION among them."""
        ...

    def open_region(self, index: int) -> RegionHandle: ...

    def reset(self) -> None:
        """Reset the function.  Raises Unsupported, with the reason, where there is no way."""
        ...

    def is_gone(self) -> bool:
        """Ask whether the device has left the machine, after something failed.

        May read configuration space; changes nothing.
        """
        ...

    def close(self) -> None:
        """Give the device back.  Called once, after regions, interrupts and DMA are gone."""
        ...


@runtime_checkable
class MakesBlocks(Protocol):
    """What a RegionHandle has beside ``read`` and ``write`` where many at once are faster."""

    def read_block(self, offset: int, size: int, width: int) -> bytes:
        """Make reads of ``width`` bytes each, low address first; return their bytes in order."""
        ...

    def write_block(self, offset: int, data: bytes, width: int) -> None:
        """Make writes of ``width`` bytes each, low address first."""
        ...


@runtime_checkable
class TellsWhenGone(Protocol):
    """What a DeviceHandle has where the device may vanish while nobody asks for it."""

    def when_gone(self, callback: Callable[[Callable[[], PymmioError]], None]) -> None:
        """Have ``callback`` called, in another thread or at once, when the device is gone.

        What it is given makes the exception for whoever uses the device then.
        """
        ...


@runtime_checkable
class Reconnects(Protocol):
    """What a DeviceHandle has where a device that was lost can come back."""

    def reconnect(self, timeout_s: float) -> None:
        """Reach the same device again, with its DMA mappings and interrupts as they were.

        Handles of regions stay valid; what they say for a mapping is new.  ``when_gone`` is to
        be called again.  Raises what opening raises, DeviceNotFound where it is another device.
        """
        ...
