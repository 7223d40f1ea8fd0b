"""A device model and what surrounds every model, whoever serves it.

Configuration space, BARs with the MSI-X table, memory BARs, decoding, interrupts: the sim
backend and the vfio-user server are both built on :class:`ServedDevice`.
"""

from pymmio.backend.served.device import DeviceMemory, ServedDevice
from pymmio.backend.served.find import (
    MODEL_GROUP,
    BringsHandle,
    make_model,
    make_served_model,
    model_names,
    served_models,
)
from pymmio.backend.served.guarded import GuardedMemory
from pymmio.backend.served.interrupts import ServedIrq, empty_eventfd
from pymmio.backend.served.memory import BarMemory
from pymmio.backend.served.words import SharedDoorbells, mappable_doorbells

__all__ = [
    "BarMemory",
    "BringsHandle",
    "DeviceMemory",
    "GuardedMemory",
    "MODEL_GROUP",
    "ServedDevice",
    "ServedIrq",
    "SharedDoorbells",
    "empty_eventfd",
    "make_model",
    "make_served_model",
    "mappable_doorbells",
    "model_names",
    "served_models",
]
