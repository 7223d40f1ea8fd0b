"""A QEMU process as the device, without a guest OS: ``qemu:DEVICE,properties?options``."""

from pymmio.backend.qtest.handle import QtestHandle
from pymmio.backend.qtest.opening import open
from pymmio.backend.qtest.options import MachineKind, Options

__all__ = ["MachineKind", "Options", "QtestHandle", "open"]
