"""Make devices go wrong: for the tests of drivers, on every backend.

A :class:`FaultPlan` says what goes wrong, and when; :func:`open_device` opens a device that does::

    plan = FaultPlan(Fault.irq_lost(count=1), Fault.ones(offset=0x1C, after=100), seed=7)
    with faults.open_device("sim:nvme?size=64M", plan) as device:
        ...
    print(device.handle.faults.text())

What a device does to memory (``Fault.dma_*`` and :mod:`pymmio.testing.faults.nvme`) is seen where
the device is a model in this process; all else works with every backend.
"""

from pymmio.testing.faults.event import Event, EventKind
from pymmio.testing.faults.fault import Fault
from pymmio.testing.faults.handles import FaultyDevice
from pymmio.testing.faults.injector import FaultPlan, Injected, Injector
from pymmio.testing.faults.opening import faults_of, faulty_model, open_device, open_model, wrap

__all__ = [
    "Event",
    "EventKind",
    "Fault",
    "FaultPlan",
    "FaultyDevice",
    "Injected",
    "Injector",
    "faults_of",
    "faulty_model",
    "open_device",
    "open_model",
    "wrap",
]
