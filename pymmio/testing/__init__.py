"""Fakes and helpers for tests of drivers; shipped, and used by pymmio's own tests."""

from __future__ import annotations

from contextlib import ExitStack

from pymmio.backend.model import DeviceModel
from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.mmio import PCI, AccessRule, MappedRegion, Mapping
from pymmio.testing.serving import served
from pymmio.trace import Sink
from pymmio.uri import DeviceUri

__all__ = ["mapped_region", "open_model", "served"]


def mapped_region(size: int, *, rule: AccessRule = PCI, name: str = "memory") -> MappedRegion:
    """Return a region over ``size`` bytes of plain zeroed memory, as if it were a mapped BAR."""
    return MappedRegion(Mapping.of_buffer(bytearray(size), name), rule=rule)


def open_model(model: DeviceModel, *, trace: Sink | None = None) -> Device:
    """Open a device model that was made by the caller, as ``sim:`` opens one by name.

    The test keeps ``model`` and sees what the driver did to it.  Closing the device closes it.
    """
    name = type(model).__name__.lower()
    handle = SimHandle(model, name=f"sim:{name}")
    with ExitStack() as undo:
        undo.callback(handle.close)
        device = Device(DeviceUri("sim", name), handle, trace=trace)
        undo.pop_all()
    return device
