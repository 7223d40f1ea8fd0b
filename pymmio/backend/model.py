"""What a device model is, whoever serves it: the sim backend, or a vfio-user server.

A model lives behind a :class:`ModelHost`.  It does not know how it is served.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pymmio.handle import IrqKind, MappedArea

__all__ = ["BarSpec", "DeviceModel", "ModelHost"]


@dataclass(frozen=True, slots=True)
class BarSpec:
    """A BAR of a model: size a power of two; ``is_64bit`` takes the next BAR's slot too.

    ``ram`` marks a BAR that is plain memory (a memfd of the host's): the model sees no
    single accesses there and reaches it with ``ModelHost.bar_memory``.

    ``memory_fd`` is a descriptor of memory of the model's own for such a BAR, as large as the
    BAR at least, which others may share; the model keeps it open.

    ``doorbells`` are areas of 32-bit registers whose writes count by their last value only,
    at whatever time they are seen, and whose reads mean nothing.  No driver writes all-ones
    there.  Whoever serves the model may let a driver store to shared memory in their place;
    the model gets the writes as ``bar_write`` all the same, low offsets first.
    """

    index: int
    size: int
    is_64bit: bool = True
    prefetchable: bool = False
    ram: bool = False
    memory_fd: int | None = None
    doorbells: tuple[MappedArea, ...] = ()


class ModelHost(Protocol):
    """What a model may ask of whoever serves it."""

    def dma_read(self, iova: int, size: int) -> bytes:
        """Read the driver's memory.  Raises IommuFault where nothing is mapped."""
        ...

    def dma_write(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        """Write the driver's memory, all or nothing.  Raises IommuFault likewise."""
        ...

    def raise_irq(self, kind: IrqKind, vector: int = 0) -> None:
        """Signal MSI, MSI-X or (for INTx: assert) an interrupt."""
        ...

    def lower_intx(self) -> None:
        """Deassert INTx."""
        ...

    def bar_memory(self, index: int) -> memoryview:
        """Return the memory behind a BAR that was declared with ``ram=True``."""
        ...


class DeviceModel(abc.ABC):
    """A PCI device in Python.

    Subclasses set the identity below, are made with ``Model(**options)`` from the query
    part of a URI (strings), and are found through the entry point group
    ``pymmio.models``.  All calls come from one thread at a time (the server holds a lock).
    Values are numbers as the little-endian bytes on the bus say.
    """

    vendor_id: int
    device_id: int
    subsystem_vendor_id: int = 0
    subsystem_id: int = 0
    revision_id: int = 0
    class_code: int  #: 24 bits: base class, subclass, programming interface
    bars: Sequence[BarSpec] = ()
    msix_vectors: int = 0  #: table and PBA are put into ``msix_bar`` by the server
    msix_bar: int | None = None
    msix_offset: int = 0  #: where the table starts in that BAR; the PBA follows it
    msi_vectors: int = 0
    has_intx: bool = False
    is_pcie: bool = True
    vendor_capabilities: Sequence[bytes] = ()
    """Vendor-specific capabilities: what stands behind the length byte of each."""

    host: ModelHost

    @classmethod
    def offered_options(cls) -> dict[str, object]:
        """Return the options and their defaults: the keyword arguments, None without a default."""
        return {
            name: None if one.default is one.empty else one.default
            for name, one in inspect.signature(cls).parameters.items()
            if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        }

    def attach(self, host: ModelHost) -> None:
        """Called once, before any other call."""
        self.host = host

    @abc.abstractmethod
    def bar_read(self, bar: int, offset: int, width: int) -> int:
        """Serve one aligned or unaligned read of 1, 2, 4 or 8 bytes inside the BAR.

        The number has as many bits, and is not negative.
        """

    @abc.abstractmethod
    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        """Serve one write."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Function-level reset: back to the state after power-on; storage is kept."""

    def close(self) -> None:
        """Release files and memory."""
        return

    def describe(self) -> Mapping[str, str]:
        """Return facts for people, such as size and backing file."""
        return {}
