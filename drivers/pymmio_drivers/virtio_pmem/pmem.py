"""The virtio-pmem device: memory that is there again after a power cut, once it was flushed."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from pymmio import Device, forks, open_device
from pymmio.dax import DaxMemory
from pymmio.errors import DeviceTimeout
from pymmio.owner import Owner
from pymmio.virtio import EVENT_IDX, INDIRECT_DESC, VirtioDevice
from pymmio_drivers.virtio_pmem.flush import REQUEST_QUEUE, Flusher, FlushFuture, FlushResult
from pymmio_drivers.virtio_pmem.reach import SHMEM_REGION, reach_memory

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["VirtioPmem"]

DEVICE_TYPE = 27  # virtio 1.2 §5
FLUSH_TIMEOUT_S = 30.0

_SLICE_S = 0.02


class VirtioPmem(Owner):
    """Persistent memory of a virtual machine.  Close it, or use it in a ``with`` statement.

    What was written is durable after a flush only.  Safe for threads.  In a forked child every use
    raises ForkedObject, and ``close`` does nothing.
    """

    def __init__(
        self,
        virtio: VirtioDevice,
        device: Device,
        *,
        interrupts: bool | None = None,
        memory: str | None = None,
    ) -> None:
        """Not for callers: use :meth:`open`."""
        self.virtio = virtio
        self.device = device
        self.name = virtio.name
        self._interrupts = interrupts
        self._lock = threading.RLock()
        with ExitStack() as undo:
            self._start()
            undo.callback(virtio.reset)
            reached = reach_memory(virtio, device, memory)
            undo.callback(reached.memory.close)
            self._flusher = Flusher(virtio)
            undo.pop_all()
        self.memory: DaxMemory = reached.memory
        self.way = reached.way  #: how the memory is reached, in words
        self._is_closed = False
        self._is_forked = False
        forks.track(self)

    @classmethod
    def open(
        cls,
        device: str | Device,
        *,
        interrupts: bool | None = None,
        memory: str | None = None,
    ) -> Self:
        """Open a device by URI, or take an open one, which is closed with this.

        ``interrupts`` None takes them where there are some, False polls for completions.
        ``memory`` is the path of a device that the kernel made of this memory, such as
        /dev/pmem0, for where nothing else leads to it.  Raises FeatureMissing, Unsupported,
        and what ``open_device`` raises.
        """
        with ExitStack() as undo:
            if not isinstance(device, Device):
                device = open_device(device)
                undo.callback(device.close)
            virtio = VirtioDevice.open(device, device_type=DEVICE_TYPE, known=[SHMEM_REGION])
            undo.callback(virtio.close)
            made = cls(virtio, device, interrupts=interrupts, memory=memory)
            undo.pop_all()
        return made

    def _start(self) -> None:
        self.virtio.start(
            {REQUEST_QUEUE: None},
            wanted=(SHMEM_REGION, EVENT_IDX, INDIRECT_DESC),
            interrupts=self._interrupts,
        )

    # --- memory ------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.memory.size

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes at ``offset``.  Raises OutOfBounds, MediaError."""
        data = bytearray(size)
        self.memory.read_into(offset, data)
        return bytes(data)

    def read_into(self, offset: int, target: Buffer) -> int:
        """Fill ``target`` from ``offset`` on; return how many bytes that was."""
        return self.memory.read_into(offset, target)

    def write(self, offset: int, data: Buffer) -> int:
        """Write ``data`` at ``offset``; durable after the next flush.  Returns its size."""
        return self.memory.write_from(offset, data)

    # --- flushes -----------------------------------------------------------------------------

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> FlushResult:
        """Wait until all that was written before this call is durable.

        Raises FlushError where the host could not do it, DeviceTimeout if it does not answer:
        the request then stays with the device until ``reset``.
        """
        future = self.flush_async()
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            if isinstance(error, DeviceTimeout):
                raise
            raise self._late(timeout_s) from None

    def flush_async(self) -> FlushFuture:
        """Ask for a flush of all that was written before this call; a future, also awaitable."""
        return self._flusher.start(self._drive)

    @property
    def device_flushes(self) -> int:
        """How many flushes the device was asked for; fewer than calls where they were shared."""
        return self._flusher.device_flushes

    def _drive(self, future: FlushFuture, timeout_s: float | None) -> None:
        """Take completions until ``future`` is done, where no interrupt does so."""
        deadline = time.monotonic() + (FLUSH_TIMEOUT_S if timeout_s is None else timeout_s)
        while not future.done():
            left = deadline - time.monotonic()
            queue = self.virtio.queues.get(REQUEST_QUEUE)
            if queue is None:
                return  # a reset has failed it, or is about to
            queue.poll(max(0.0, min(left, _SLICE_S)), future)
            if future.done():
                return
            if left <= 0:
                raise self._late(FLUSH_TIMEOUT_S if timeout_s is None else timeout_s)
            self.virtio.check()

    def _late(self, timeout_s: float) -> DeviceTimeout:
        return DeviceTimeout(
            f"{self.name}: a flush has not come back within {timeout_s:g} s",
            hint="Its memory stays with the device until reset(); does the host still run?",
        )

    # --- life --------------------------------------------------------------------------------

    def reset(self) -> None:
        """Reset the device and start it again; flushes under way fail with DeviceFailed.

        Raises what starting raises.  What was written stays as it is, and is not durable.
        """
        with self._lock:
            self.virtio.reset()
            self._start()

    @property
    def closed(self) -> bool:
        """Whether it cannot be used any more."""
        return self._is_closed

    def close(self) -> None:
        """Stop the device and give everything back; nothing is flushed.  Closing twice is fine."""
        if self._is_forked:
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            with ExitStack() as stack:
                stack.callback(self.virtio.close)
                stack.callback(self.memory.close)
                stack.callback(self._flusher.close)
                if self.virtio.queues:
                    stack.callback(self.virtio.reset)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._is_forked = True

    def __repr__(self) -> str:
        return f"<VirtioPmem {self.name}: {self.size:#x} bytes by {self.way}>"
