"""Interrupts: a thread for each vector takes the completions of its queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

from pymmio.device import Device
from pymmio.errors import DeviceTimeout, Unsupported
from pymmio.irq import Interrupt, VectorSet
from pymmio_drivers.nvme.queue import QueuePair
from pymmio_drivers.nvme.recovery import Recovery

__all__ = ["InterruptMode", "Reapers", "choose_vectors", "vector_of"]

InterruptMode = Literal["auto", "msix", "msi", "intx"] | None

_TICK_S = 0.5
_LEAST_S = 0.001
_JOIN_S = 5.0


def choose_vectors(device: Device, mode: InterruptMode) -> tuple[str, VectorSet] | None:
    """Return the kind of interrupts to use and its vectors, None for polling.

    Raises Unsupported where the device does not have what was asked for by name.
    """
    if mode is None:
        return None
    kinds = {"msix": device.irqs.msix, "msi": device.irqs.msi, "intx": device.irqs.intx}
    if mode == "auto":
        return next(((name, found) for name, found in kinds.items() if len(found)), None)
    if mode not in kinds:
        raise Unsupported(
            f"interrupts={mode!r} is no kind of interrupt", hint="auto, msix, msi, intx or None"
        )
    if not len(kinds[mode]):
        having = ", ".join(name for name, found in kinds.items() if len(found)) or "none"
        raise Unsupported(
            f"{device.name} has no {mode} interrupts", hint=f"It has {having}; None is polling"
        )
    return mode, kinds[mode]


def vector_of(qid: int, vectors: int) -> int:
    """Return the vector of a queue: 0 for admin, then one each as long as there are enough."""
    if qid == 0 or vectors == 1:
        return 0
    return 1 + (qid - 1) % (vectors - 1)


class Reaper:
    """Waits for one interrupt and takes the completions of ``queues``; sees to time-outs."""

    def __init__(
        self, interrupt: Interrupt, queues: Sequence[QueuePair], recovery: Recovery, name: str
    ) -> None:
        self._interrupt = interrupt
        self._queues = queues
        self._recovery = recovery
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._is_stopped:
                now = time.monotonic()
                until = min(queue.next_deadline(now + _TICK_S) for queue in self._queues)
                until = max(until, now + _LEAST_S)
                while not self._is_stopped and self._wait(until):
                    for queue in self._queues:
                        queue.reap()
                self._look_for_timeouts()
                self._recovery.check_device()
        except Exception as error:
            # Also Closed, of an interrupt that was switched off: at close nothing more is done;
            # else the device was closed under the driver, and all waiters must be told.
            self._recovery.give_up(error)

    def _wait(self, until: float) -> bool:
        """Wait for the interrupt; False when the time is up."""
        left = until - time.monotonic()
        if left <= 0:
            return False
        try:
            self._interrupt.wait(timeout_s=left)
        except DeviceTimeout:
            return False
        return True

    def _look_for_timeouts(self) -> None:
        now = time.monotonic()
        for queue in self._queues:
            queue.reap()  # an interrupt can get lost
            for request in queue.expired(now):
                self._recovery.command_timed_out(queue, request)

    def stop(self) -> None:
        """End the thread, after its interrupt was switched off."""
        self._is_stopped = True
        if threading.current_thread() is self._thread:
            return
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            raise DeviceTimeout(f"thread {self._thread.name} did not end within {_JOIN_S} s")


class Reapers:
    """A thread for each vector that has queues, and the way back to polling."""

    def __init__(
        self,
        found: VectorSet,
        vectors: Sequence[Interrupt],
        queues: Sequence[QueuePair],
        recovery: Recovery,
        name: str,
    ) -> None:
        self._found = found
        self._queues = queues
        self._reapers: list[Reaper] = []
        for index, interrupt in enumerate(vectors):
            mine = [queue for queue in queues if vector_of(queue.qid, len(vectors)) == index]
            if mine:
                self._reapers.append(Reaper(interrupt, mine, recovery, f"{name} vector {index}"))
        for queue in queues:
            queue.is_polled = False

    def stop(self) -> None:
        """Switch the interrupts off and end the threads; whoever waits then polls."""
        for queue in self._queues:
            queue.is_polled = True
        with ExitStack() as stack:
            for reaper in self._reapers:
                stack.callback(reaper.stop)
            self._found.disable()  # wakes the threads, also where the backend fails
