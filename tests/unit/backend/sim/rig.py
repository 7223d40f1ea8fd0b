"""A small model for tests of the sim backend, and a device around it."""

from __future__ import annotations

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.uri import DeviceUri


class Rig(DeviceModel):
    """BAR0: registers and the MSI-X table; BAR2: plain memory; all interrupts."""

    vendor_id = 0x1AF4
    device_id = 0x10F0
    class_code = 0xFF0000
    bars = (BarSpec(0, 0x2000), BarSpec(2, 0x1000, prefetchable=True, ram=True))
    msix_vectors = 4
    msix_bar = 0
    msix_offset = 0x1000
    msi_vectors = 2
    has_intx = True

    def __init__(self, **options: str) -> None:
        if options.keys() - {"x"}:
            raise TypeError(f"unexpected {sorted(options)}")
        self.accesses: list[tuple[str, int, int, int]] = []
        self.resets = 0
        self.is_closed = False

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        self.accesses.append(("read", bar, offset, width))
        return (1 << 8 * width) - 2

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        self.accesses.append(("write", bar, offset, width))

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.is_closed = True


def make_device(**options: object) -> tuple[Device, Rig, SimHandle]:
    model = Rig()
    handle = SimHandle(model, "sim:rig")
    return Device(DeviceUri("sim", "rig"), handle, **options), model, handle  # type: ignore[arg-type]
