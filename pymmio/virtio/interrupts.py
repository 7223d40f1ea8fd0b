"""Interrupts of a virtio device: a thread for each vector takes the buffers of its queues."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from pymmio.errors import Closed, DeviceFailed, DeviceTimeout, PymmioError
from pymmio.irq import Interrupt
from pymmio.virtio.queue.virtqueue import Virtqueue
from pymmio.virtio.transport.base import Transport

__all__ = ["QueueInterrupts"]

_TICK_S = 0.5
_JOIN_S = 5.0


class QueueInterrupts:
    """Threads that wait for ``vectors``: first that of the configuration, then one a queue.

    An interrupt that got lost costs half a second at most: queues are looked at then anyway.
    """

    def __init__(
        self,
        name: str,
        vectors: Sequence[Interrupt],
        queues: Sequence[Virtqueue],
        transport: Transport,
        check: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._check = check
        self._queues = queues
        self._is_stopped = False
        self._threads: list[threading.Thread] = []
        for vector in dict.fromkeys(vectors):  # one object may stand for several
            mine = [queue for queue, one in zip(queues, vectors[1:]) if one is vector]
            thread = threading.Thread(
                target=self._run,
                args=(vector, mine, vector is vectors[0]),
                name=f"{name} {vector.name}",
                daemon=True,
            )
            self._threads.append(thread)
        for queue in queues:
            queue.is_polled = False
        for thread in self._threads:
            thread.start()

    def _run(self, vector: Interrupt, queues: Sequence[Virtqueue], is_config: bool) -> None:
        try:
            while not self._is_stopped:
                try:
                    vector.wait(timeout_s=_TICK_S)
                    if self._transport.is_level:
                        self._transport.acknowledge_interrupt()
                except DeviceTimeout:
                    pass
                if self._is_stopped:
                    return
                for queue in queues:
                    queue.reap()
                if is_config:
                    self._check()
        except Closed:
            return  # switched off
        except Exception as error:  # nobody takes buffers any more
            failure = error
            if not isinstance(error, PymmioError):
                failure = DeviceFailed(f"{self._transport.name}: {vector.name}: {error}")
                failure.__cause__ = error
            for queue in self._queues:
                queue.fail_all(failure, is_stopped=False)

    def stop(self) -> None:
        """End the threads; whoever waits then polls."""
        self._is_stopped = True
        for queue in self._queues:
            queue.is_polled = True
        with suppress(Closed):  # with the device, which has ended the threads
            self._transport.disable_interrupts()  # wakes the threads
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)
                if thread.is_alive():
                    raise DeviceTimeout(f"thread {thread.name} did not end within {_JOIN_S} s")
