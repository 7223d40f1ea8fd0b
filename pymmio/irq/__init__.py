"""Interrupts: vectors as objects that threads wait for and coroutines await."""

from pymmio.irq.eventfd import EventFd
from pymmio.irq.interrupt import Interrupt
from pymmio.irq.vectors import Interrupts, VectorSet

__all__ = ["EventFd", "Interrupt", "Interrupts", "VectorSet"]
