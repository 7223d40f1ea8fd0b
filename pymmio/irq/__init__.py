"""Interrupts: vectors as objects that threads wait for and coroutines await."""

from pymmio.irq.eventfd import EventFd
from pymmio.irq.interrupt import Interrupt
from pymmio.irq.traced import TracedIrq
from pymmio.irq.vectors import Interrupts, VectorSet
from pymmio.irq.watcher import EventWatcher, Subscription

__all__ = [
    "EventFd",
    "EventWatcher",
    "Interrupt",
    "Interrupts",
    "Subscription",
    "TracedIrq",
    "VectorSet",
]
