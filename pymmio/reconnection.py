"""Bring the parts of a device that was lost back to life, when its server is there again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from pymmio.errors import ProtocolError, Unsupported
from pymmio.handle import DeviceHandle, Reconnects
from pymmio.irq import Interrupts
from pymmio.mmio import HandleRegion, Mapping

__all__ = ["RECONNECT_TIMEOUT_S", "as_returning", "bring_back"]

RECONNECT_TIMEOUT_S = 10.0
"""How long to wait for a server that was started anew, in seconds."""


class Returning(DeviceHandle, Reconnects, Protocol):
    """A device handle that can reconnect."""


def as_returning(handle: DeviceHandle) -> Returning:
    """Return ``handle`` if it can reconnect.  Raises Unsupported, before anything is touched."""
    if isinstance(handle, Reconnects):
        return cast(Returning, handle)
    raise Unsupported(
        f"{handle.name} cannot be reached again by this object",
        hint="Close it; when it is back open it anew",
    )


def bring_back(
    handle: Returning,
    placed: Sequence[tuple[int, int, Mapping]],
    called: Iterable[HandleRegion],
    irqs: Interrupts,
    timeout_s: float,
) -> None:
    """Reconnect ``handle``, then let everybody in again who was turned away.

    ``placed`` are the mappings by region and offset in it: each gets the new server's memory at
    its old address.  Raises what the backend raises.
    """
    handle.reconnect(timeout_s)
    for index, offset, mapping in placed:
        source = handle.open_region(index).mmap_source()
        if source is None:
            raise ProtocolError(f"{handle.name}: region {index} cannot be mapped any more")
        mapping.replace(source[0], source[1] + offset)
    for region in called:
        region.restore()
    irqs.restore()
