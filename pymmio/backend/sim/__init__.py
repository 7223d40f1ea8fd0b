"""Devices that live in this process: a device model, an IOMMU, interrupts.

``sim:MODEL?option=value``: the model comes from the entry point group ``pymmio.models``,
options go to it.  Needs nothing but the package.
"""

from pymmio.backend.sim.device import SimHandle
from pymmio.backend.sim.open import open
from pymmio.backend.sim.slot import Reads, SimSlot

__all__ = ["Reads", "SimHandle", "SimSlot", "open"]
